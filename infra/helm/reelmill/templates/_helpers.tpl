{{/* Names, labels, and what all pods have. */}}
{{- define "reelmill.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "reelmill.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "reelmill.labels" -}}
{{ include "reelmill.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* A part's image: {root, name}. */}}
{{- define "reelmill.image" -}}
{{- $image := index .root.Values.images .name -}}
{{ printf "%s:%s" $image.repository ($image.tag | default .root.Chart.AppVersion) | quote }}
{{- end }}

{{/* Head of every pod's spec, after the restricted pod security standard: the images' user is 10001. */}}
{{- define "reelmill.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .user | default 10001 }}
  runAsGroup: {{ .user | default 10001 }}
  fsGroup: {{ .user | default 10001 }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "reelmill.container" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
{{- end }}

{{- define "reelmill.redisSecret" -}}
{{- if .Values.redis.existingSecret }}{{ .Values.redis.existingSecret }}{{ else if .Values.redis.bundled.enabled }}{{ include "reelmill.fullname" . }}-redis{{ else }}{{ fail "redis.existingSecret is empty; name a Secret with the farm's Redis URL, or set redis.bundled.enabled=true for a trial" }}{{ end }}
{{- end }}

{{- define "reelmill.storeSecret" -}}
{{- if .Values.store.existingSecret }}{{ .Values.store.existingSecret }}{{ else if .Values.store.bundled.enabled }}{{ include "reelmill.fullname" . }}-store{{ end }}
{{- end }}

{{/* Every part must know the farm. */}}
{{- define "reelmill.farmEnv" -}}
- name: REELMILL_REDIS_URL
  valueFrom: { secretKeyRef: { name: {{ include "reelmill.redisSecret" . }}, key: {{ .Values.redis.secretKey }} } }
- { name: REELMILL_FARM, value: {{ .Values.farm | quote }} }
- { name: REELMILL_PROFILE, value: {{ .Values.profile | quote }} }
{{- range $name, $value := .Values.settings }}
- { name: REELMILL_{{ $name | upper }}, value: {{ $value | toString | quote }} }
{{- end }}
{{- end }}

{{- define "reelmill.storeEnv" -}}
{{- $bundled := .Values.store.bundled.enabled }}
- { name: REELMILL_STORE_URL, value: {{ ternary (printf "s3://%s" .Values.store.bundled.bucket) .Values.store.url $bundled | quote }} }
{{- if or $bundled .Values.store.endpoint }}
- { name: REELMILL_S3_ENDPOINT, value: {{ ternary (printf "http://%s-store:8333" (include "reelmill.fullname" .)) .Values.store.endpoint $bundled | quote }} }
{{- end }}
{{- if .Values.store.region }}
- { name: REELMILL_S3_REGION, value: {{ .Values.store.region | quote }} }
{{- end }}
{{- $secret := include "reelmill.storeSecret" . }}
{{- range $variable := ternary (list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY") (list) (ne $secret "") }}
- name: {{ $variable }}
  valueFrom: { secretKeyRef: { name: {{ $secret }}, key: {{ $variable }} } }
{{- end }}
{{- end }}

{{- define "reelmill.metricsEnv" -}}
{{- with .Values.metrics.existingSecret }}
- name: REELMILL_METRICS_TOKEN
  valueFrom: { secretKeyRef: { name: {{ . }}, key: {{ $.Values.metrics.secretKey }} } }
{{- end }}
{{- end }}

{{/* A pool's values over those of all pools: {root, pool}. */}}
{{- define "reelmill.pool" -}}
{{- $pool := mustMergeOverwrite (deepCopy .root.Values.worker) (deepCopy (default (dict) .pool)) }}
{{- if and $pool.spot (not $pool.drainSeconds) }}{{ fail "a pool has spot=true and drainSeconds=0; set drainSeconds to the notice of your cloud less 10, for example 20 of 30" }}{{ end }}
{{- if gt (int $pool.autoscaling.minWorkers) (int $pool.autoscaling.maxWorkers) }}{{ fail "a pool has autoscaling.minWorkers above maxWorkers" }}{{ end }}
{{- toJson $pool }}
{{- end }}

{{/* How long a worker may take to end: its drain, or the longest clip and its delivery. */}}
{{- define "reelmill.graceSeconds" -}}
{{- if .drainSeconds }}{{ add .drainSeconds 5 }}{{ else }}1080{{ end }}
{{- end }}
