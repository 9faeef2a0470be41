{{- define "portico.name" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains "portico" .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-portico" .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "portico.selector" -}}
app.kubernetes.io/name: portico
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "portico.labels" -}}
{{ include "portico.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "portico.subject" -}}
- kind: ServiceAccount
  name: {{ include "portico.name" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}

{{/* A RoleBinding or ClusterRoleBinding to a role of the same name: kind, role, namespace (may be empty), top. */}}
{{- define "portico.binding" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}Binding
metadata:
  name: {{ .role }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "portico.labels" .top | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .kind }}
  name: {{ .role }}
subjects:
  {{- include "portico.subject" .top | nindent 2 }}
{{- end -}}

{{/* Addresses come from the Service only where a balancer gives it some. */}}
{{- define "portico.publish" -}}
{{- if .Values.publishAddresses }}
- name: PORTICO_PUBLISH_STATUS_ADDRESS
  value: {{ join "," .Values.publishAddresses | quote }}
{{- else if and (eq .Values.service.type "LoadBalancer") (not .Values.hostNetwork) }}
- name: PORTICO_PUBLISH_SERVICE
  value: $(PORTICO_POD_NAMESPACE)/{{ include "portico.name" . }}
{{- else }}
- name: PORTICO_PUBLISH_NODE_INTERNAL_ADDRESSES
  value: "true"
{{- end }}
{{- end -}}

{{/* Values that fit each their own schema, but not each other. */}}
{{- define "portico.refuse" -}}
{{- if and .Values.hostNetwork (ne .Values.kind "DaemonSet") }}
{{- fail "hostNetwork: two replicas on one node cannot hold its ports 80 and 443; set kind to DaemonSet" }}
{{- end }}
{{- if ge (int (add .Values.drain.delaySeconds .Values.drain.timeoutSeconds)) (int .Values.drain.graceSeconds) }}
{{- fail "drain.graceSeconds: the pod would be killed while it drains; set it above delaySeconds plus timeoutSeconds" }}
{{- end }}
{{- if and .Values.watchNamespaces .Values.ingressClass.default }}
{{- fail "ingressClass.default: an IngressClass is cluster-wide and not read with watchNamespaces; set extraArgs to [--watch-ingress-without-class] instead" }}
{{- end }}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
{{- fail "autoscaling: minReplicas is above maxReplicas" }}
{{- end }}
{{- end -}}
