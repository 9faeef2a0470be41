package harness

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// endpointsFollow is nil when every Service that selects a Deployment's pods has as many ready endpoints as it has pods. A
// cluster tells of ready pods before it writes their endpoints, by a second under load.
func endpointsFollow(ctx context.Context, namespace, deployment string) error {
	d, err := Kubernetes().AppsV1().Deployments(namespace).Get(ctx, deployment, metav1.GetOptions{})
	if err != nil {
		return err
	}
	services, err := Kubernetes().CoreV1().Services(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, service := range services.Items {
		if !selects(service, d) {
			continue
		}
		if err := ReadyEndpoints(ctx, namespace, service.Name, int(*d.Spec.Replicas)); err != nil {
			return err
		}
	}
	return nil
}

func selects(s corev1.Service, d *appsv1.Deployment) bool {
	return len(s.Spec.Selector) > 0 && s.Spec.Type != corev1.ServiceTypeExternalName &&
		labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(d.Spec.Template.Labels))
}

// ReadyEndpoints is nil when the EndpointSlices of a Service hold exactly that many ready endpoints.
func ReadyEndpoints(ctx context.Context, namespace, service string, want int) error {
	list, err := Kubernetes().DiscoveryV1().EndpointSlices(namespace).List(ctx,
		metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=" + service})
	if err != nil {
		return err
	}
	ready := 0
	for _, slice := range list.Items {
		for _, endpoint := range slice.Endpoints {
			if c := endpoint.Conditions.Ready; c != nil && *c {
				ready++
			}
		}
	}
	if ready != want {
		return fmt.Errorf("Service %s has %d ready endpoints instead of %d", service, ready, want)
	}
	return nil
}
