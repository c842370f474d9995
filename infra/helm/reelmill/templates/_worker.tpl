{{/* What the worker, its init container and the model's job share. */}}
{{- define "reelmill.workerPaths" -}}
- { name: REELMILL_STATE_DIR, value: /var/lib/reelmill }
{{- if ne .Values.profile "tiny" }}
- { name: REELMILL_MODEL_DIR, value: /models/{{ .Values.profile }} }
{{- end }}
{{- end }}

{{- define "reelmill.workerMounts" -}}
- { name: state, mountPath: /var/lib/reelmill }
- { name: models, mountPath: /models }
- { name: cache, mountPath: /var/cache/reelmill }
- { name: tmp, mountPath: /tmp }
- { name: shm, mountPath: /dev/shm }
{{- end }}

{{/* Fetch and quantise the model unless that is done, or wait until another has: {root, pool, waits}. */}}
{{- define "reelmill.modelScript" -}}
{{- $profile := .root.Values.profile }}
{{- if .waits -}}
until [ -e "$REELMILL_MODEL_DIR.ready" ]; do echo "the model is not there yet"; sleep 10; done
{{- else -}}
[ -e "$REELMILL_MODEL_DIR.pulled" ] || reelmill model pull "$REELMILL_MODEL_DIR" --profile {{ $profile }} --revision {{ .pool.modelCache.revision }}
touch "$REELMILL_MODEL_DIR.pulled"
[ -e "$REELMILL_MODEL_DIR.ready" ] || reelmill model quantize "$REELMILL_MODEL_DIR" --profile {{ $profile }}
touch "$REELMILL_MODEL_DIR.ready"
{{- end }}
{{- end }}
