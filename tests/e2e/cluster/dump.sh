#!/bin/bash
# Writes what the cluster knows into DIR, for reading after a failure: dump.sh DIR [NAMESPACE]
# Without a namespace: everything. Secrets are listed by name, never written.
set -uo pipefail
dir=$1 namespace=${2:-}
scope=(--all-namespaces)
[ -z "$namespace" ] || scope=(--namespace "$namespace")
mkdir -p "$dir"

kinds=pods,deployments,daemonsets,replicasets,services,endpointslices,ingresses,ingressclasses,networkpolicies,configmaps,leases
timeout 30 kubectl get "${scope[@]}" "$kinds" -o yaml >"$dir/objects.yaml" 2>"$dir/objects.err"
timeout 10 kubectl get "${scope[@]}" "$kinds,secrets" -o wide >"$dir/objects.txt" 2>&1
timeout 10 kubectl get "${scope[@]}" events --sort-by=.metadata.creationTimestamp >"$dir/events.txt" 2>&1
timeout 10 kubectl describe nodes >"$dir/nodes.txt" 2>&1
[ -s "$dir/objects.err" ] || rm -f "$dir/objects.err"

# The kubelet names a pod's log directory NAMESPACE_POD_UID; one file for each start of a container.
mkdir -p "$dir/pods"
cp -r /var/log/pods/"${namespace:+${namespace}_}"* "$dir/pods/" 2>/dev/null
if [ -z "$namespace" ]; then
	nft list ruleset >"$dir/nft.txt" 2>&1
	ps -e -o pid,rss,etime,args >"$dir/processes.txt" 2>&1
fi
exit 0
