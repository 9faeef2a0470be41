package lifecycle

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"portico.test/e2e/harness"
)

// watchingPortico is an instance that may watch Secrets, beside the shared one.
func watchingPortico(t *testing.T) *harness.Portico {
	t.Helper()
	return harness.InstallPortico(t, harness.Install{Overlay: "overlays/watch-secrets", Namespace: "portico-watching", Class: "watching"})
}

// A new certificate is in new handshakes within a second, and no handshake fails meanwhile.
func TestCertificateRotated(t *testing.T) {
	s := newSite(t, watchingPortico(t), 2)
	authority := harness.NewAuthority(t)
	replicas := s.portico.Pods(t)
	store(t, s, authority.Issue(t, s.host()))
	addTLS(t, s)
	awaitTLS(t, s, authority)

	client := *s.client
	client.Roots = authority.Pool()
	running := harness.Load{Client: &client, URL: "https://" + s.host() + "/", Rate: 100, Fresh: 100}.Start(t)
	var times []time.Duration
	for range 100 {
		pair := authority.Issue(t, s.host())
		begin := time.Now()
		store(t, s, pair)
		times = append(times, awaitSerial(t, replicas, s.host(), pair.Serial, begin, 10*time.Second))
	}
	flawless(t, "100 rotations: requests with a handshake each", running.Stop())
	_, slowest := spread(t, "write of the Secret to new handshakes, in both replicas", times)
	within(t, "new certificate", slowest, time.Second)
}

// Where Secrets may only be read one by one, a new certificate is noticed at the next reading.
func TestCertificateRotatedWithoutWatch(t *testing.T) {
	s := newSite(t, harness.SharedPortico(t), 2)
	authority := harness.NewAuthority(t)
	store(t, s, authority.Issue(t, s.host()))
	addTLS(t, s)
	awaitTLS(t, s, authority)
	pair := authority.Issue(t, s.host())
	begin := time.Now()
	store(t, s, pair)
	took := awaitSerial(t, s.portico.Pods(t), s.host(), pair.Serial, begin, time.Minute)
	figure(t, "write of the Secret to new handshakes: %v", took.Round(time.Millisecond))
	within(t, "new certificate", took, 35*time.Second)
}

// A Secret that cannot be used leaves the last good certificate in use, and is told of; an expired one is served.
func TestMalformedSecret(t *testing.T) {
	s := newSite(t, watchingPortico(t), 2)
	authority := harness.NewAuthority(t)
	replicas := s.portico.Pods(t)
	good := authority.Issue(t, s.host())
	store(t, s, good)
	addTLS(t, s)
	awaitTLS(t, s, authority)

	other := authority.Issue(t, s.host())
	for _, broken := range []struct {
		name string
		pair harness.Pair
	}{
		{"no PEM", harness.Pair{Certificate: []byte("certificate"), Key: []byte("key")}},
		{"key of another certificate", harness.Pair{Certificate: other.Certificate, Key: good.Key}},
		{"empty", harness.Pair{}},
	} {
		store(t, s, broken.pair)
		awaitEvent(t, s, "Secret")
		harness.Stays(t, 2*time.Second, "last good certificate with "+broken.name, func(ctx context.Context) error {
			for _, replica := range replicas {
				if err := shows(ctx, replica, s.host(), good.Serial); err != nil {
					return err
				}
			}
			return nil
		})
		store(t, s, good)
	}
	expired := authority.IssueUntil(t, time.Now().Add(-time.Hour), s.host())
	begin := time.Now()
	store(t, s, expired)
	took := awaitSerial(t, replicas, s.host(), expired.Serial, begin, 10*time.Second)
	figure(t, "three kinds of broken Secrets kept the last good certificate; an expired one is served after %v", took.Round(time.Millisecond))
}

// store writes the pair into the site's Secret, as whoever renews certificates does.
func store(t *testing.T, s *site, pair harness.Pair) {
	t.Helper()
	secrets := harness.Kubernetes().CoreV1().Secrets(s.namespace)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: s.name}, Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{corev1.TLSCertKey: pair.Certificate, corev1.TLSPrivateKeyKey: pair.Key}}
	_, err := secrets.Update(harness.Short(t), secret, metav1.UpdateOptions{})
	if err != nil {
		_, err = secrets.Create(harness.Short(t), secret, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func addTLS(t *testing.T, s *site) {
	t.Helper()
	harness.Apply(t, s.namespace, strings.Replace(ingressYAML(s.name, s.host(), s.portico.Class, s.name),
		"  rules:", fmt.Sprintf("  tls: [{hosts: [%s], secretName: %s}]\n  rules:", s.host(), s.name), 1))
}

// awaitTLS waits until the site is served over TLS by both replicas.
func awaitTLS(t *testing.T, s *site, authority *harness.Authority) {
	t.Helper()
	for _, replica := range s.portico.Pods(t) {
		client := direct(replica)
		client.Roots, client.ServerName = authority.Pool(), s.host()
		client.GetWhen(t, "https://"+s.host()+":8443/", harness.Status(200))
	}
}

// shows is nil when a replica shows the certificate in a handshake.
func shows(ctx context.Context, replica corev1.Pod, host string, serial *big.Int) error {
	dialer := tls.Dialer{Config: &tls.Config{ServerName: host, InsecureSkipVerify: true}}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(replica.Status.PodIP, "8443"))
	if err != nil {
		return err
	}
	defer conn.Close()
	if shown := conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber; shown.Cmp(serial) != 0 {
		return fmt.Errorf("%s shows certificate %v instead of %v", replica.Name, shown, serial)
	}
	return nil
}

// awaitSerial waits until all replicas show the certificate and returns the time since `begin`.
func awaitSerial(t *testing.T, replicas []corev1.Pod, host string, serial *big.Int, begin time.Time, limit time.Duration) time.Duration {
	t.Helper()
	harness.Eventually(t, limit, "new certificate", func(ctx context.Context) error {
		all := make([]error, len(replicas))
		var group sync.WaitGroup
		for i, replica := range replicas {
			group.Go(func() { all[i] = shows(ctx, replica, host, serial) })
		}
		group.Wait()
		return errors.Join(all...)
	})
	return time.Since(begin)
}

// awaitEvent waits for an Event in the site's namespace whose reason begins so.
func awaitEvent(t *testing.T, s *site, reason string) {
	t.Helper()
	harness.Eventually(t, 15*time.Second, "Event "+reason, func(ctx context.Context) error {
		list, err := harness.Kubernetes().CoreV1().Events(s.namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		var seen []string
		for _, event := range list.Items {
			if event.InvolvedObject.Kind != "Ingress" {
				continue
			}
			if strings.HasPrefix(event.Reason, reason) {
				return nil
			}
			seen = append(seen, event.Reason)
		}
		return fmt.Errorf("only %v", seen)
	})
}
