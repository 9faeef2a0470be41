#!/bin/bash
# A whole Kubernetes cluster in one private network namespace. ../README.md tells the commands.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
module=$(dirname "$here")
export CLUSTER_BIN=${CLUSTER_BIN:-${XDG_CACHE_HOME:-$HOME/.cache}/portico-cluster}

kubernetes=v1.36.3
components=(etcd kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl)
packages=(containerd runc containernetworking-plugins nftables iptables iproute2 util-linux openssl curl jq wrk)
echo_basic=sigs.k8s.io/gateway-api/conformance/echo-basic
echo_names=cluster.test/echo:1 # and the names that the Gateway API suite's manifests use:
for tag in v1.5.1 v1.6.0-dev.2 v1.6.0-dev.3; do echo_names+=,registry.k8s.io/gateway-api/echo-basic:$tag; done

usage() {
	cat >&2 <<-EOF
	usage: cluster.sh deps | missing
	       cluster.sh build
	       cluster.sh image NAME[,NAME...] BINARY [SRC[:DEST]...]
	       cluster.sh run [--node real|fake|none] -- COMMAND [ARG...]
	EOF
	exit 2
}

refuse() {
	echo "cluster: $*" >&2
	exit 1
}

# Prints the Debian packages that are not installed.
missing() {
	local package
	for package in "${packages[@]}"; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
	done
}

deps() {
	local lacking
	mapfile -t lacking < <(missing)
	[ ${#lacking[@]} -gt 0 ] || return 0
	apt-get update -q
	DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${lacking[@]}"
}

# Our own commands in cmd/, and the echo backend; what single suites need besides, ../run builds.
build() {
	local v=k8s.io/component-base/version minor=${kubernetes#v1.} name
	local flags="-s -w -X $v.gitVersion=$kubernetes -X $v.gitMajor=1 -X $v.gitMinor=${minor%.*} -X $v.gitTreeState=clean"
	flags+=" -X $v.gitCommit=0000000 -X $v.buildDate=2026-01-01T00:00:00Z -X k8s.io/client-go/pkg/version.gitVersion=$kubernetes"
	mkdir -p "$CLUSTER_BIN"
	(cd "$module" && CGO_ENABLED=0 go build -buildvcs=false -o "$CLUSTER_BIN/" -ldflags "$flags" ./cmd/... $echo_basic)
	for name in "${components[@]}"; do ln -sf kubernetes "$CLUSTER_BIN/$name"; done
	image cluster.test/pause:1 "$CLUSTER_BIN/pause"
	image "$echo_names" "$CLUSTER_BIN/echo-basic"
}

# Outside a cluster the image is kept for every later run, inside one it goes into that cluster only.
image() { # NAME[,NAME...] BINARY [SRC[:DEST]...]
	local names=$1 binary=$2 images=${CLUSTER_NODE:+/run/cluster}
	images=${images:-$CLUSTER_BIN}/images
	local first=${names%%,*} libraries=()
	local tar="$images/${first//[^A-Za-z0-9.-]/_}.tar"
	mapfile -t libraries < <(ldd "$binary" 2>/dev/null | grep -o '/[^ ]*' | sed 's/.*/&:&/')
	mkdir -p "$images"
	"$CLUSTER_BIN/tools" pack "$tar.new" "$names" "$binary" "${libraries[@]}" "${@:3}"
	mv "$tar.new" "$tar"
	if [ "${CLUSTER_NODE:-}" = real ]; then ctr -n k8s.io image import "$tar" >/dev/null; fi
}

# The roots of all cgroup hierarchies: one with cgroup v2, one per controller with v1.
cgroup_roots() {
	if [ -e /sys/fs/cgroup/cgroup.controllers ]; then echo /sys/fs/cgroup; else printf '%s\n' /sys/fs/cgroup/*; fi
}

make_cgroups() { # NAME
	local root file
	for root in $(cgroup_roots); do
		mkdir "$root/$1"
		for file in cpuset.cpus cpuset.mems; do # v1 starts a new group with empty sets
			if [ -e "$root/cgroup.clone_children" ] && [ -e "$root/$file" ]; then cat "$root/$file" >"$root/$1/$file"; fi
		done
	done
}

remove_cgroups() { # NAME
	local root left
	for _ in {1..50}; do
		left=
		for root in $(cgroup_roots); do
			[ ! -d "$root/$1" ] || find "$root/$1" -depth -type d -exec rmdir {} + 2>/dev/null || left+=" $root/$1"
		done
		[ -n "$left" ] || return 0
		sleep 0.1
	done
	echo "cluster: left behind:$left" >&2
}

# Groups of runs that were killed too hard to clean up: their names end in a process id that is gone.
sweep_cgroups() {
	local root group
	for root in $(cgroup_roots); do
		for group in "$root"/portico-*; do
			if [ -d "$group" ] && [ ! -d "/proc/${group##*-}" ]; then remove_cgroups "${group##*/}"; fi
		done
	done
}

run() {
	local node=real status=0
	if [ "${1:-}" = --node ]; then node=${2:-}; shift 2; fi
	case $node in real | fake | none) ;; *) usage ;; esac
	if [ "${1:-}" != -- ] || [ $# -lt 2 ]; then usage; fi
	shift
	[ "$(id -u)" = 0 ] || refuse "only root can make namespaces and cgroups"
	[ -x "$CLUSTER_BIN/kubernetes" ] || refuse "nothing in $CLUSTER_BIN: first cluster.sh build"
	[ "$node" != real ] || command -v containerd >/dev/null || refuse "no containerd: first cluster.sh deps"

	export CLUSTER_NODE=$node CLUSTER_CGROUP=portico-$$
	namespace=
	trap stop EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	if [ "$node" = real ]; then sweep_cgroups; make_cgroups "$CLUSTER_CGROUP"; fi
	# In the background, because bash runs a trap only after a foreground command has ended.
	env --default-signal=INT,QUIT setpriv --pdeathsig KILL unshare --net --mount --pid --fork --kill-child --mount-proc \
		"$here/up.sh" "$@" <&0 &
	namespace=$!
	wait $namespace || status=$?
	namespace=
	exit $status
}

stop() {
	trap '' HUP INT TERM
	if [ -n "$namespace" ]; then
		# Killing the first process of a pid namespace ends all of it; unshare returns when the last one is gone.
		local first
		first=$(cat /proc/$namespace/task/$namespace/children 2>/dev/null) || true
		kill -KILL ${first:-$namespace} 2>/dev/null || true
		wait $namespace 2>/dev/null || true
	fi
	remove_cgroups "$CLUSTER_CGROUP"
}

case ${1:-} in
deps | missing | build | run) "$@" ;;
image) [ $# -ge 3 ] || usage; "$@" ;;
*) usage ;;
esac
