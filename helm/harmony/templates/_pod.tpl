{{/* What the pods of Harmony's own processes share. */}}

{{- define "harmony.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "harmony.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Where a process finds its servers and settings. Takes the root context. */}}
{{- define "harmony.databaseEnv" -}}
- name: HARMONY_DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.database.existingSecret | default (include "harmony.secretName" .) }}
      key: {{ not (empty .Values.database.existingSecret) | ternary .Values.database.key "database-url" }}
{{- end }}

{{- define "harmony.redisEnv" -}}
- name: HARMONY_REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.redisServer.existingSecret | default (include "harmony.secretName" .) }}
      key: {{ not (empty .Values.redisServer.existingSecret) | ternary .Values.redisServer.key "redis-url" }}
{{- end }}

{{/* Secrets in the values, so that a change of them starts pods anew; those drawn do not change. */}}
{{- define "harmony.givenSecrets" -}}
{{- with .Values -}}
{{ toJson (list .admin.key .ingest.pushToken .database.url .redisServer.url .postgres.password .redis.password) }}
{{- end }}
{{- end }}

{{/* A setting as text: Helm reads numbers as floats, and 32000000 would become 3.2e+07. */}}
{{- define "harmony.settingText" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}
{{ printf "%d" (int64 .) }}
{{- else -}}
{{ . }}
{{- end }}
{{- end }}

{{/* Labels, scheduling and volumes. Takes (dict "root" $ "name" component "pod" values). */}}
{{- define "harmony.scheduling" -}}
{{- with .pod.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .pod.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
{{- if .pod.topologySpreadConstraints }}
  {{- toYaml .pod.topologySpreadConstraints | nindent 2 }}
{{- else }}
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "harmony.selectorLabels" .root | nindent 8 }}
        app.kubernetes.io/component: {{ .name }}
{{- end }}
{{- end }}

{{/*
Waits until the database has the schema of this image, or only for the database.
Takes (dict "root" $ "arguments" list "pod" "pod" values of the component): what the pod is to know of the
database (PGPASSWORD, PGSSLROOTCERT, ...) it has from the same variables.
*/}}
{{- define "harmony.waitForDatabase" -}}
- name: wait-for-database
  image: {{ include "harmony.image" .root }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  command: {{ toJson (concat (list "python" "/hooks/wait_for_schema.py") .arguments) }}
  env:
    {{- include "harmony.databaseEnv" .root | nindent 4 }}
    {{- with .pod.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  securityContext:
    {{- include "harmony.containerSecurityContext" .root | nindent 4 }}
  resources:
    requests: {cpu: 50m, memory: 128Mi}
    limits: {memory: 256Mi}
  volumeMounts:
    - {name: hooks, mountPath: /hooks, readOnly: true}
    - {name: tmp, mountPath: /tmp}
{{- end }}

{{/*
A Deployment. Takes a dict:
  root      root context
  name      component; also the suffix of the Deployment's name
  values    values of the component (replicas, resources, ...)
  command   list
  port      (dict "name" "number"), or nothing
  probes    YAML of the probes
  env       YAML of further variables
  volumes   YAML of further volumes
  mounts    YAML of further mounts
  strategy  Recreate where two at once do harm
  needsApi  true where the pod talks to the Kubernetes API
  isServing true where a Service leads to the pod: it goes on answering until it is out of the endpoints
*/}}
{{- define "harmony.deployment" -}}
{{- $root := .root }}
{{- $pod := mergeOverwrite (deepCopy $root.Values.pod) (deepCopy .values) }}
{{- $peerKeys := "" }}
{{- if has .name (list "admin" "worker-decide") }}
{{- $peerKeys = $root.Values.peerKeys.existingSecret }}
{{- end }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "harmony.fullname" $root }}-{{ .name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "harmony.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .name }}
spec:
  replicas: {{ .values.replicas }}
  revisionHistoryLimit: 5
  {{- if .strategy }}
  strategy:
    type: {{ .strategy }}
  {{- else }}
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
  {{- end }}
  selector:
    matchLabels:
      {{- include "harmony.selectorLabels" $root | nindent 6 }}
      app.kubernetes.io/component: {{ .name }}
  template:
    metadata:
      labels:
        {{- with $pod.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- include "harmony.labels" $root | nindent 8 }}
        app.kubernetes.io/component: {{ .name }}
      annotations:
        checksum/settings: {{ include (print $root.Template.BasePath "/settings.yaml") $root | sha256sum }}
        checksum/given-secrets: {{ include "harmony.givenSecrets" $root | sha256sum }}
        {{- with $pod.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ include "harmony.serviceAccountName" (dict "root" $root "name" .name) }}
      automountServiceAccountToken: {{ .needsApi | default false }}
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ $pod.terminationGracePeriodSeconds }}
      securityContext:
        {{- include "harmony.podSecurityContext" $root | nindent 8 }}
      {{- with $root.Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- include "harmony.scheduling" (dict "root" $root "name" .name "pod" $pod) | nindent 6 }}
      initContainers:
        {{- include "harmony.waitForDatabase" (dict "root" $root "arguments" list "pod" $pod) | nindent 8 }}
      containers:
        - name: {{ .name }}
          image: {{ include "harmony.image" $root }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          command: {{ toJson .command }}
          envFrom:
            - configMapRef: {name: {{ include "harmony.fullname" $root }}-settings}
          env:
            {{- include "harmony.databaseEnv" $root | nindent 12 }}
            {{- if not $root.Values.operatorOnly }}
            {{- include "harmony.redisEnv" $root | nindent 12 }}
            {{- end }}
            {{- with .env }}
            {{- . | nindent 12 }}
            {{- end }}
            {{- if $peerKeys }}
            - {name: HARMONY_PEER_KEYS, value: /etc/harmony/peers}
            {{- end }}
            {{- with $pod.extraEnv }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          {{- with .port }}
          ports:
            - {name: {{ .name }}, containerPort: {{ .number }}, protocol: TCP}
            {{- with .second }}
            - {name: {{ .name }}, containerPort: {{ .number }}, protocol: TCP}
            {{- end }}
          {{- end }}
          {{- .probes | nindent 10 }}
          {{- if .isServing }}
          lifecycle:
            preStop:
              exec: {command: [sleep, "5"]}
          {{- end }}
          resources:
            {{- toYaml $pod.resources | nindent 12 }}
          securityContext:
            {{- include "harmony.containerSecurityContext" $root | nindent 12 }}
          volumeMounts:
            - {name: home, mountPath: /var/lib/harmony}
            - {name: tmp, mountPath: /tmp}
            {{- if $peerKeys }}
            - {name: peer-keys, mountPath: /etc/harmony/peers, readOnly: true}
            {{- end }}
            {{- with .mounts }}
            {{- . | nindent 12 }}
            {{- end }}
      volumes:
        - name: home
          emptyDir: {sizeLimit: 1Gi}
        - name: tmp
          emptyDir: {sizeLimit: 1Gi}
        - name: hooks
          configMap: {name: {{ include "harmony.fullname" $root }}-hooks}
        {{- with $peerKeys }}
        - name: peer-keys
          secret: {secretName: {{ . }}, defaultMode: 0440}
        {{- end }}
        {{- with .volumes }}
        {{- . | nindent 8 }}
        {{- end }}
{{- end }}
