{{/* The pod of a Deployment or DaemonSet; manifests/base/deployment.yaml says why it is so. */}}
{{- define "portico.pod" -}}
{{- $host := .Values.hostNetwork -}}
{{- $probe := dict "port" "status" -}}
{{- if $host }}{{- $_ := set $probe "host" "127.0.0.1" }}{{- end -}}
metadata:
  labels:
    {{- include "portico.selector" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "portico.name" . }}
  automountServiceAccountToken: true
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.drain.graceSeconds }}
  {{- if $host }}
  hostNetwork: true
  dnsPolicy: ClusterFirstWithHostNet
  {{- end }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsNonRoot: {{ not $host }}
    runAsUser: {{ ternary 0 65532 $host }}
    runAsGroup: 65532
    seccompProfile:
      type: RuntimeDefault
  {{- if not $host }}
  topologySpreadConstraints:
    {{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - topologyKey: {{ $key }}
      maxSkew: 1
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "portico.selector" $ | nindent 10 }}
    {{- end }}
  {{- end }}
  containers:
    - name: portico
      image: {{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        - serve
        {{- range .Values.extraArgs }}
        - {{ . | quote }}
        {{- end }}
      env:
        {{- include "portico.environment" . | trim | nindent 8 }}
      ports:
        - name: http
          containerPort: {{ ternary 80 8080 $host }}
        - name: https
          containerPort: {{ ternary 443 8443 $host }}
        - name: status
          containerPort: {{ ternary 19090 9090 $host }}
      startupProbe:
        httpGet:
          {{- toYaml (merge (dict "path" "/readyz") $probe) | nindent 10 }}
        periodSeconds: 1
        timeoutSeconds: 2
        failureThreshold: 600
      readinessProbe:
        httpGet:
          {{- toYaml (merge (dict "path" "/readyz") $probe) | nindent 10 }}
        periodSeconds: 2
        timeoutSeconds: 2
        failureThreshold: 3
      livenessProbe:
        httpGet:
          {{- toYaml (merge (dict "path" "/healthz") $probe) | nindent 10 }}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 3
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
          {{- if $host }}
          add: [NET_BIND_SERVICE]
          {{- end }}
{{- end -}}

{{/* Flags as variables. The first three come first, because others refer to them. */}}
{{- define "portico.environment" -}}
{{- range $name, $path := dict "PORTICO_POD_NAME" "metadata.name" "PORTICO_POD_NAMESPACE" "metadata.namespace" "PORTICO_NODE_NAME" "spec.nodeName" }}
- name: {{ $name }}
  valueFrom:
    fieldRef:
      fieldPath: {{ $path }}
{{- end }}
- name: PORTICO_INGRESS_CLASS
  value: {{ .Values.ingressClass.name }}
- name: PORTICO_CONTROLLER_NAME
  value: {{ .Values.ingressClass.controller }}
{{- include "portico.publish" . }}
- name: PORTICO_DRAIN_DELAY
  value: {{ .Values.drain.delaySeconds }}s
- name: PORTICO_DRAIN_TIMEOUT
  value: {{ .Values.drain.timeoutSeconds }}s
{{- with .Values.watchNamespaces }}
- name: PORTICO_WATCH_NAMESPACE
  value: {{ join "," . | quote }}
{{- end }}
{{- if .Values.hostNetwork }}
- name: PORTICO_HTTP
  value: "[::]:80"
- name: PORTICO_HTTPS
  value: "[::]:443"
- name: PORTICO_STATUS
  value: 127.0.0.1:19090
- name: PORTICO_ADMIN
  value: 127.0.0.1:19091
{{- end }}
{{- if and (eq .Values.service.type "NodePort") .Values.service.nodePorts.https (not .Values.hostNetwork) }}
- name: PORTICO_HTTPS_REDIRECT_PORT
  value: {{ .Values.service.nodePorts.https | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}
