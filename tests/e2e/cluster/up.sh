#!/bin/bash
# The first process of the cluster's namespaces: builds the network, starts the daemons, runs the command.
# When it ends, the kernel ends everything else in them and drops the mounts.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
start=${EPOCHREALTIME/./}
node=$CLUSTER_NODE ip=172.18.0.2 services=10.96.0.0/16 pods=10.244.0.0/16 balancers=172.18.200 outside=172.18.100.1
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY

# All state lies in memory and in this mount namespace. These are the places the daemons write to.
for place in /run /dev/shm /var/lib/{containerd,kubelet,cni} /var/log/{pods,containers}; do
	mkdir -p $place
	mount -t tmpfs tmpfs $place
done
dir=/run/cluster pki=/run/cluster/pki
export CLUSTER_LOGS=${CLUSTER_LOGS:-$dir/log} CLUSTER_IMAGES=${CLUSTER_IMAGES:-}
mkdir -p $dir/{bin,cni,daemons} $pki /run/netns /run/lock "$CLUSTER_LOGS"
ln -s "$CLUSTER_BIN/kubectl" $dir/bin/
ln -s "$here/conf/pods.conflist" $dir/cni/
export PATH=$dir/bin:$PATH:/usr/sbin KUBECONFIG=$pki/admin.kubeconfig KUBECACHEDIR=$dir/cache

# NAME COMMAND [ARG...]: a daemon that a Ctrl-C for the command does not reach. Its process id and its arguments, each
# ended by a zero byte, stay in /run/cluster/daemons for whoever wants to end it and start it again.
up() {
	local log="$CLUSTER_LOGS/$1.log"
	setsid env --default-signal=INT,QUIT "${@:2}" >>"$log" 2>&1 </dev/null &
	echo $! >"$dir/daemons/$1.pid"
	disown # whoever kills it knows; the shell need not say so
	printf '%s\0' "${@:2}" >"$dir/daemons/$1.argv"
}
bin() { up "$1" "$CLUSTER_BIN/$1" "${@:2}"; }
fail() {
	tail -n 5 "$CLUSTER_LOGS"/*.log >&2
	echo "cluster: $*" >&2
	exit 1
}
await() { # SECONDS COMMAND [ARG...]
	local end=$((SECONDS + $1))
	until "${@:2}" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || fail "not up after $1 s: ${*:2}"
		sleep 0.05
	done
}
api() { curl -sf --cacert $pki/ca.crt --cert $pki/admin.crt --key $pki/admin.key "https://$ip:6443$1"; }
node_ready() { api "/api/v1/nodes/node-1" | grep -A1 '"type": "Ready"' | grep -q '"True"'; }
since_start() { local us=$((${EPOCHREALTIME/./} - start)); printf '%d.%d' $((us / 1000000)) $((us / 100000 % 10)); }

# Network: the node's address on a bridge of its own, Services routed to where kube-proxy's rules see them.
ip link set lo up
ip link add node0 type bridge
ip address add $ip/16 dev node0
ip link set node0 up
ip route add $services dev node0
# A machine outside the cluster, for clients whose address is not the node's: ip netns exec outside COMMAND.
ip netns add outside
ip link add outside0 type veth peer name eth0 netns outside
ip link set outside0 master node0 up
ip -n outside link set lo up
ip -n outside address add $outside/16 dev eth0
ip -n outside link set eth0 up
ip -n outside route add $balancers.0/24 via $ip
echo 1 >/proc/sys/net/ipv4/ip_forward
if [ "$node" = real ]; then
	ip link add cni0 type bridge
	ip address add 10.244.0.1/16 dev cni0
	ip link set cni0 up
elif [ "$node" = fake ]; then
	ip route add local $pods dev lo
fi
printf '%s\n' "nameserver $ip" "search default.svc.cluster.local svc.cluster.local cluster.local" "options ndots:5" >$dir/resolv.conf
resolv_conf=$(readlink -f /etc/resolv.conf)
[ -e "$resolv_conf" ] || { mkdir -p "${resolv_conf%/*}" && touch "$resolv_conf"; } # a link into /run, for one
mount --bind $dir/resolv.conf "$resolv_conf"

# Control plane, with the images imported meanwhile.
bin etcd --name=etcd --data-dir=$dir/etcd --unsafe-no-fsync --log-level=warn
if [ "$node" = real ]; then
	up containerd containerd --config "$here/conf/containerd.toml"
	(
		await 30 ctr version
		for tar in "$CLUSTER_BIN"/images/*.tar $CLUSTER_IMAGES; do ctr -n k8s.io image import "$tar"; done
	) >"$CLUSTER_LOGS/images.log" 2>&1 &
	images=$!
fi
"$here/pki.sh" $pki
bin kube-apiserver --etcd-servers=http://127.0.0.1:2379 --bind-address=0.0.0.0 --secure-port=6443 --advertise-address=$ip \
	--tls-cert-file=$pki/apiserver.crt --tls-private-key-file=$pki/apiserver.key --client-ca-file=$pki/ca.crt \
	--service-account-key-file=$pki/sa.key --service-account-signing-key-file=$pki/sa.key \
	--service-account-issuer=https://kubernetes.default.svc --service-cluster-ip-range=$services \
	--authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
	--kubelet-client-certificate=$pki/admin.crt --kubelet-client-key=$pki/admin.key --kubelet-preferred-address-types=InternalIP \
	--requestheader-client-ca-file=$pki/ca.crt --requestheader-allowed-names=front-proxy \
	--requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
	--requestheader-extra-headers-prefix=X-Remote-Extra- --profiling=false
await 60 api /readyz

credentials() { printf -- "--%skubeconfig=$pki/$1.kubeconfig\n" "" authentication- authorization-; }
# The workload controllers only: with all of them the default service account comes seconds later. The default
# rate of 20 requests a second would make 200 pods take ten.
controllers=$(printf '%s-controller,' endpoints endpointslice endpointslice-mirroring deployment replicaset daemonset statefulset \
	job cronjob namespace serviceaccount serviceaccount-token root-ca-certificate-publisher garbage-collector pod-garbage-collector \
	node-lifecycle taint-eviction disruption horizontal-pod-autoscaler ttl-after-finished clusterrole-aggregation)
bin kube-controller-manager $(credentials kcm) --leader-elect=false --bind-address=127.0.0.1 --controllers="${controllers%,}" \
	--kube-api-qps=500 --kube-api-burst=1000 --use-service-account-credentials=true \
	--service-account-private-key-file=$pki/sa.key --root-ca-file=$pki/ca.crt
up cloud "$CLUSTER_BIN/tools" cloud $balancers
bin coredns -conf "$here/conf/Corefile"
kubectl apply -f "$here/conf/dns.yaml" >/dev/null

# Node.
case $node in
real)
	wait $images || fail "images not imported"
	bin kube-scheduler $(credentials scheduler) --leader-elect=false --bind-address=127.0.0.1
	bin kubelet --config="$here/conf/kubelet.yaml" --kubeconfig=$pki/kubelet.kubeconfig --hostname-override=node-1 --node-ip=$ip \
		--cgroup-root="/$CLUSTER_CGROUP"
	;;
fake) up fake-kubelet "$CLUSTER_BIN/tools" fake-kubelet node-1 $ip ;;
esac
if [ "$node" != none ]; then
	bin kube-proxy --config="$here/conf/kube-proxy.yaml"
	await 60 node_ready
	await 30 curl -sfk -m 0.2 https://10.96.0.1/readyz
fi
await 30 api /api/v1/namespaces/default/serviceaccounts/default
await 30 curl -sf http://127.0.0.1:10253/ready
echo "cluster: ready in $(since_start) s (node: $node)" >&2

"$@"
