package tests

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/tests/rig"
)

// policyServer serves the MTA-STS policies of domains on 127.0.0.30.
func policyServer(t *testing.T, ca *rig.Authority, policies map[string]string) (port int, stop func()) {
	t.Helper()
	var names []string
	for domain := range policies {
		names = append(names, "mta-sts."+domain)
	}
	cert, key := ca.Issue(t, time.Hour, names...)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	port = rig.Port(t, "127.0.0.30")
	l, err := tls.Listen("tcp", fmt.Sprintf("127.0.0.30:%d", port), &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.Host)
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, policies[strings.TrimPrefix(host, "mta-sts.")])
	})}
	go func() { _ = s.Serve(l) }()
	stop = func() { _ = s.Close() }
	t.Cleanup(stop)
	return port, stop
}

// tlsa is a record for the key of a certificate file.
func tlsa(t *testing.T, host, file string, port int) string {
	t.Helper()
	c := rig.Certificate(t, file)
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return fmt.Sprintf("_%d._tcp.%s. IN TLSA 3 1 1 %s\n", port, host, hex.EncodeToString(sum[:]))
}

var tlsAddress atomic.Int32

// tlsReceiver is a sink at an address of its own, with its certificate.
type tlsReceiver struct {
	*rig.Sink
	addr, cert string
}

func newTLSReceiver(t *testing.T, port int, cert, key string, args ...string) tlsReceiver {
	t.Helper()
	addr := fmt.Sprintf("127.0.31.%d", tlsAddress.Add(1))
	if cert != "" {
		args = append(args, "--certificate", cert, "--key", key)
	}
	return tlsReceiver{rig.StartSink(t, port, []string{addr}, args...), addr, cert}
}

// TestTLSPolicies: what domains publish decides what mail goes where, in the whole server:
// MTA-STS and DANE, good and bad, before and after a restart without the policy server.
func TestTLSPolicies(t *testing.T) {
	ca := rig.NewAuthority(t)
	port := rig.Port(t, "127.0.31.1", "127.0.31.2", "127.0.31.3", "127.0.31.4", "127.0.31.5")
	goodCert, goodKey := ca.Issue(t, time.Hour, "mx.sts-good.test", "mx.sts-mx.test")
	expiredCert, expiredKey := ca.Issue(t, -time.Minute, "mx.sts-expired.test")
	ownCert, ownKey := rig.NewAuthority(t).Issue(t, -time.Minute, "whatever.test")
	good := newTLSReceiver(t, port, goodCert, goodKey)
	expired := newTLSReceiver(t, port, expiredCert, expiredKey)
	own := newTLSReceiver(t, port, ownCert, ownKey)
	clear := newTLSReceiver(t, port, "", "")
	broken := newTLSReceiver(t, port, ownCert, ownKey, "--fault", "stall-at-starttls=1")
	const enforce = "version: STSv1\nmode: enforce\nmx: mx.%s\nmax_age: 86400\n"
	stsPort, stopPolicies := policyServer(t, ca, map[string]string{
		"sts-good.test": fmt.Sprintf(enforce, "sts-good.test"), "sts-name.test": fmt.Sprintf(enforce, "sts-name.test"),
		"sts-expired.test": fmt.Sprintf(enforce, "sts-expired.test"), "sts-clear.test": fmt.Sprintf(enforce, "sts-clear.test"),
		"sts-mx.test":      "version: STSv1\nmode: enforce\nmx: other.sts-mx.test\nmax_age: 86400\n",
		"sts-testing.test": "version: STSv1\nmode: testing\nmx: other.test\nmax_age: 86400\n",
	})
	cases := []struct {
		domain string
		to     tlsReceiver
		sts    bool
		tlsa   string
		why    string // in what explain says when the mail must not go; empty: it goes
	}{
		{"sts-good.test", good, true, "", ""},
		{"sts-name.test", good, true, "", "it is not for mx.sts-name.test but for mx.sts-good.test, mx.sts-mx.test"},
		{"sts-expired.test", expired, true, "", "certificate has expired"},
		{"sts-clear.test", clear, true, "", "TLS is required for the host mx.sts-clear.test, and it does not offer STARTTLS"},
		{"sts-mx.test", good, true, "", "does not have the MX host mx.sts-mx.test, so no mail may go there"},
		{"sts-testing.test", own, true, "", ""},
		{"dane-good.test", own, false, tlsa(t, "mx.dane-good.test", ownCert, port), ""},
		{"dane-bad.test", own, false, tlsa(t, "mx.dane-bad.test", goodCert, port), "the certificate of mx.dane-bad.test matches none of its TLSA records"},
		{"dane-unusable.test", clear, false, fmt.Sprintf("_%d._tcp.mx.dane-unusable.test. IN TLSA 1 1 1 00\n", port), "TLS is required for the host mx.dane-unusable.test"},
		{"none.test", own, false, "", ""},
		{"clear.test", clear, false, "", ""},
		{"broken.test", broken, false, "", ""},
	}
	zone := "$TTL 300\n"
	for _, c := range cases {
		zone += fmt.Sprintf("%[1]s. IN MX 10 mx.%[1]s.\nmx.%[1]s. IN A %[2]s\n%[3]s", c.domain, c.to.addr, c.tlsa)
		if c.sts {
			zone += fmt.Sprintf("_mta-sts.%[1]s. IN TXT \"v=STSv1; id=1;\"\nmta-sts.%[1]s. IN A 127.0.0.30\n", c.domain)
		}
	}
	server := rig.NewServer(t, rig.Zone{}, port, fmt.Sprintf(`dns { trust_ad = on }
tls = ifavailable
tls_timeout = 1
mta_sts_port = %d
retry_interval = ( 1 )
host_failure_retry = 1
`, stsPort)).With(func(c *exec.Cmd) { c.Env = append(os.Environ(), "SSL_CERT_FILE="+ca.File, "SSL_CERT_DIR=/nonexistent") })
	server.Write(t, "zone", zone)
	server.Start(t)

	delivered := map[string]int{}
	send := func(n int) {
		t.Helper()
		c, err := rig.Dial(server.SMTP)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Closed()
		c.Greet("client.test")
		for _, x := range cases {
			msg := fmt.Sprintf("Message-ID: <%d@%s>\r\nFrom: <a@mta.test>\r\n\r\nhello", n, x.domain)
			if r := c.Send("a@mta.test", "u@"+x.domain, msg); !strings.HasPrefix(r, "250") {
				t.Fatalf("%s: %s", x.domain, r)
			}
			if x.why == "" {
				delivered[x.to.addr]++
			}
		}
		c.Cmd("QUIT")
	}
	check := func() {
		t.Helper()
		for _, r := range []tlsReceiver{good, expired, own, clear, broken} {
			want := delivered[r.addr]
			rig.Until(t, time.Minute, fmt.Sprintf("%d messages at %s", want, r.addr), func() bool { return r.Now(t).Messages.Distinct == want })
		}
		for _, c := range cases {
			if c.why == "" {
				continue
			}
			said := ""
			rig.Until(t, 30*time.Second, c.domain+" to be explained by: "+c.why, func() bool {
				said = server.Ctl(t, "explain", c.domain)
				return strings.Contains(said, c.why)
			})
		}
	}
	send(1)
	check()
	if said := server.Ctl(t, "domain", "dane-good.test"); !strings.Contains(said, "mx.dane-good.test: TLS required, verified by DANE: DANE: 1 TLSA record of mx.dane-good.test") {
		t.Errorf("domain: %s", said)
	}
	if said := server.Ctl(t, "explain", "host:mx.broken.test"); !strings.Contains(said, "in clear for ") {
		t.Errorf("explain of a host whose TLS is broken: %s", said)
	}
	stopPolicies()
	server.Stop(t, 30*time.Second)
	server.Start(t)
	send(2)
	check()
	if n := server.Status(t).Queue.Messages; n != 2*count(cases, func(i int) bool { return cases[i].why != "" }) {
		t.Errorf("%d messages wait", n)
	}
	server.Stop(t, 30*time.Second)
}

func count[T any](list []T, is func(int) bool) (n int) {
	for i := range list {
		if is(i) {
			n++
		}
	}
	return n
}

// TestCertificateChain holds the rig's authority to what the tests rest on.
func TestCertificateChain(t *testing.T) {
	ca := rig.NewAuthority(t)
	file, _ := ca.Issue(t, time.Hour, "mx.test")
	roots := x509.NewCertPool()
	roots.AddCert(rig.Certificate(t, ca.File))
	if _, err := rig.Certificate(t, file).Verify(x509.VerifyOptions{Roots: roots, DNSName: "mx.test"}); err != nil {
		t.Error(err)
	}
}
