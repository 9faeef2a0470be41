package harness

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// EnforcePolicies does what a network plugin does, once, for the pods there are now: it turns the NetworkPolicies of a
// namespace into packet filter rules by pod address and drops what they do not allow. Pods made later are not
// covered. What the node itself sends (probes, kube-proxy's masqueraded traffic) passes, as with real plugins.
// The rules go when the test ends.
func EnforcePolicies(t testing.TB, namespace string) {
	t.Helper()
	ctx := Short(t)
	list, err := Kubernetes().NetworkingV1().NetworkPolicies(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatalf("policies: %v", err)
	}
	all, err := Kubernetes().CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatalf("policies: %v", err)
	}
	spaces, err := Kubernetes().CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatalf("policies: %v", err)
	}
	f := &filter{namespace: namespace, pods: all.Items, namespaces: spaces.Items, table: "policy_" + strings.ReplaceAll(namespace, "-", "_")}
	for _, policy := range list.Items {
		if err := f.policy(&policy); err != nil {
			t.Fatalf("policy %s: %v", policy.Name, err)
		}
	}
	rules := f.rules()
	if err := nft(rules); err != nil {
		t.Fatalf("policies: %v\n%s", err, rules)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("packet filter:\n%s", rules)
		}
		if err := nft("delete table inet " + f.table + "\n"); err != nil {
			t.Logf("policies: %v", err)
		}
	})
}

func nft(script string) error {
	command := exec.Command("nft", "-f", "-")
	command.Stdin = strings.NewReader(script)
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, out)
	}
	return nil
}

type filter struct {
	namespace, table string
	pods             []corev1.Pod
	namespaces       []corev1.Namespace
	into, outOf      chain
}

// chain holds the rules of one direction. A connection needs both directions' consent: an accept ends only its own chain.
type chain struct{ allow, drop []string }

// rules is the table: what is under way passes, then what a policy allows, then isolated pods drop the rest.
func (f *filter) rules() string {
	var text bytes.Buffer
	fmt.Fprintf(&text, "table inet %s {\n", f.table)
	for name, c := range map[string]chain{"into": f.into, "out_of": f.outOf} {
		fmt.Fprintf(&text, "\tchain %s {\n\t\ttype filter hook forward priority filter; policy accept;\n", name)
		fmt.Fprintln(&text, "\t\tct state established,related accept")
		for _, rule := range append(c.allow, c.drop...) {
			fmt.Fprintln(&text, "\t\t"+rule)
		}
		fmt.Fprintln(&text, "\t}")
	}
	fmt.Fprintln(&text, "}")
	return text.String()
}

func (f *filter) policy(p *networkingv1.NetworkPolicy) error {
	chosen, err := f.addresses(&p.Spec.PodSelector, nil)
	if err != nil || len(chosen) == 0 {
		return err
	}
	own := set(chosen)
	for _, kind := range p.Spec.PolicyTypes {
		switch kind {
		case networkingv1.PolicyTypeIngress:
			f.into.drop = append(f.into.drop, "ip daddr "+own+" drop")
			for _, rule := range p.Spec.Ingress {
				if err := f.admit(&f.into, "ip daddr "+own, "saddr", rule.From, rule.Ports); err != nil {
					return err
				}
			}
		case networkingv1.PolicyTypeEgress:
			f.outOf.drop = append(f.outOf.drop, "ip saddr "+own+" drop")
			for _, rule := range p.Spec.Egress {
				if err := f.admit(&f.outOf, "ip saddr "+own, "daddr", rule.To, rule.Ports); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// admit writes the rules for one side of one policy rule; no others means everybody, no ports all of them.
func (f *filter) admit(c *chain, own, side string, others []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) error {
	var sources []string
	for _, other := range others {
		if other.IPBlock != nil {
			sources = append(sources, other.IPBlock.CIDR)
			continue
		}
		addresses, err := f.addresses(other.PodSelector, other.NamespaceSelector)
		if err != nil {
			return err
		}
		sources = append(sources, addresses...)
	}
	from := ""
	if len(others) > 0 {
		if len(sources) == 0 {
			return nil // nobody fits
		}
		from = " ip " + side + " " + set(sources)
	}
	if len(ports) == 0 {
		c.allow = append(c.allow, own+from+" accept")
	}
	for _, port := range ports {
		protocol := "tcp"
		if port.Protocol != nil {
			protocol = strings.ToLower(string(*port.Protocol))
		}
		match := " meta l4proto " + protocol
		if port.Port != nil {
			if port.Port.StrVal != "" {
				return fmt.Errorf("port names are not translated: %s", port.Port.StrVal)
			}
			match = fmt.Sprintf(" %s dport %d", protocol, port.Port.IntVal)
		}
		c.allow = append(c.allow, own+from+match+" accept")
	}
	return nil
}

// addresses are those of the pods selected: in the policy's namespace, or in those that the second selector fits.
func (f *filter) addresses(pods, namespaces *metav1.LabelSelector) ([]string, error) {
	fits := map[string]bool{f.namespace: namespaces == nil}
	if namespaces != nil {
		selector, err := metav1.LabelSelectorAsSelector(namespaces)
		if err != nil {
			return nil, err
		}
		for _, n := range f.namespaces {
			fits[n.Name] = selector.Matches(labels.Set(n.Labels))
		}
	}
	selector := labels.Everything()
	if pods != nil {
		var err error
		if selector, err = metav1.LabelSelectorAsSelector(pods); err != nil {
			return nil, err
		}
	}
	var found []string
	for _, p := range f.pods {
		if fits[p.Namespace] && selector.Matches(labels.Set(p.Labels)) && p.Status.PodIP != "" && !p.Spec.HostNetwork {
			found = append(found, p.Status.PodIP)
		}
	}
	return found, nil
}

func set(addresses []string) string { return "{ " + strings.Join(addresses, ", ") + " }" }
