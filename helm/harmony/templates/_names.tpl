{{/* Names and labels. Every template takes the root context unless it says otherwise. */}}

{{- define "harmony.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* At most 40 characters, so that `-worker-forecast` and a hash still fit into 63. */}}
{{- define "harmony.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "harmony.selectorLabels" -}}
app.kubernetes.io/name: {{ include "harmony.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "harmony.labels" -}}
{{ include "harmony.selectorLabels" . }}
app.kubernetes.io/part-of: harmony
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "harmony.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}
{{- else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end }}
{{- end }}
{{- end }}

{{/* Service account of a component. Takes (dict "root" $ "name" component). */}}
{{- define "harmony.serviceAccountName" -}}
{{- if .root.Values.serviceAccounts.create -}}
{{ include "harmony.fullname" .root }}-{{ .name }}
{{- else -}}
{{ get .root.Values.serviceAccounts.names .name | default "default" }}
{{- end }}
{{- end }}

{{/* The Secret that the chart makes. */}}
{{- define "harmony.secretName" -}}
{{ include "harmony.fullname" . }}
{{- end }}

{{/* "true" where the migration can run before anything of the release exists. */}}
{{- define "harmony.migrateIsHook" -}}
{{- if and (not .Values.postgres.enabled) .Values.database.existingSecret -}}true{{- end }}
{{- end }}
