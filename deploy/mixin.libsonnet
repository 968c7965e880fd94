// Harmony's dashboards, alerts and recording rules as one unit, in the form of a monitoring mixin.
// Everything it imports lies beside it: `docs/observability.md` says how it is used.
local groups = std.parseYaml(importstr 'prometheus/rules/harmony.yml').groups;
local having(kind) = {
  groups: [
    group { rules: [rule for rule in group.rules if std.objectHas(rule, kind)] }
    for group in groups
    if std.length([rule for rule in group.rules if std.objectHas(rule, kind)]) > 0
  ],
};
{
  grafanaDashboards+:: {
    'harmony-decisions.json': import 'grafana/dashboards/decisions.json',
    'harmony-fleet.json': import 'grafana/dashboards/fleet.json',
    'harmony-forecast-quality.json': import 'grafana/dashboards/forecast-quality.json',
    'harmony-operations.json': import 'grafana/dashboards/operations.json',
    'harmony-workload.json': import 'grafana/dashboards/workload.json',
  },
  prometheusAlerts+:: having('alert'),
  prometheusRules+:: having('record'),
}
