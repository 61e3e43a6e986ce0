package tlspolicy

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/dns"
	"github.com/sluice-mta/sluice/internal/dns/dnstest"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
)

// world is an Engine with a DNS and a policy server of its own: whatever address a policy
// host has, the same server answers.
type world struct {
	t        *testing.T
	dns      *dnstest.Server
	resolver *dns.Resolver
	store    *memory
	policies *httptest.Server
	engine   *Engine
	session  *policy.Session

	mu      sync.Mutex
	now     time.Time
	serve   http.HandlerFunc
	fetches int
	dialled []string
	mails   []string
	lost    error // of mail
}

const signedZone = `
. SOA . . 1 1 1 1 60
one.test. MX 10 mx.one.test.
mx.one.test. A 192.0.2.1
mta-sts.one.test. A 192.0.2.80
_smtp._tls.one.test. TXT "v=TLSRPTv1; rua=mailto:tls@reports.test,https://reports.test/in"
reports.test. A 192.0.2.81
`

func newWorld(t *testing.T, zone string, signed ...string) *world {
	t.Helper()
	w := &world{t: t, store: &memory{facts: map[string][]byte{}}, now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	w.dns = dnstest.Serve(t, zone)
	w.dns.Sign(signed...)
	var err error
	w.resolver, err = dns.New(dns.Config{
		Servers: []string{w.dns.Addr}, TrustAD: len(signed) > 0, Attempts: 1, Timeout: 5 * time.Second, MinTTL: 1,
		Now: func() int64 { return w.clock().UnixNano() },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.resolver.Close)
	w.policies = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.fetches++
		serve := w.serve
		w.mu.Unlock()
		if r.URL.Path != "/.well-known/mta-sts.txt" && r.Method != http.MethodPost {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		serve(rw, r)
	}))
	w.policies.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	cert, roots := certificate(t, time.Hour, "mta-sts.one.test", "reports.test")
	w.policies.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	w.policies.StartTLS()
	t.Cleanup(w.policies.Close)
	w.session = &policy.Session{UseMTASTS: true, UseDANE: true, MTASTSTimeout: 10 * time.Second, UseIPv4: true, TLSReports: true}
	w.open(roots)
	return w
}

// open makes an Engine over the same store: the first one, or after a restart.
func (w *world) open(roots *x509.CertPool) {
	if w.engine != nil {
		w.engine.Close()
	}
	w.engine = New(Config{
		Resolver: func() *dns.Resolver { return w.resolver }, Store: w.store, Now: w.clock, Roots: roots,
		Log: slog.New(slog.DiscardHandler), Port: func() uint16 { return 443 },
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			w.mu.Lock()
			w.dialled = append(w.dialled, address)
			w.mu.Unlock()
			return (&net.Dialer{}).DialContext(ctx, network, w.policies.Listener.Addr().String())
		},
	})
	w.engine.Report(ReporterConfig{
		Store: w.store, Now: w.clock, Log: slog.New(slog.DiscardHandler), Hostname: func() string { return "mta.test" },
		Who: func() policy.TLSReports {
			return policy.TLSReports{From: "tls@mta.test", Organization: "Us", Contact: "postmaster@mta.test"}
		},
		Barred: func() []netip.Prefix { return nil },
		Mail: func(_ string, to mail.Address, content []byte) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.mails = append(w.mails, to.String()+"\n"+string(content))
			return w.lost
		},
	})
	w.t.Cleanup(w.engine.Close)
}

// applied is what was applied to a host of one.test last.
func (w *world) applied(host string) Applied {
	r := w.engine.report
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.applied["one.test"][host]
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) answer(h http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.serve = h
}

func (w *world) fetched() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fetches
}

// text serves a policy.
func text(lines ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte(strings.Join(lines, "\n") + "\n"))
	}
}

// host asks what a host of one.test needs.
func (w *world) host(name string) dns.HostTLS {
	return w.ask(dns.HostQuestion{Domain: "one.test", Host: name, Port: 25, ByMX: true, Signed: true, HostSigned: true})
}

func (w *world) ask(q dns.HostQuestion) dns.HostTLS {
	w.t.Helper()
	q.Session = w.session
	return w.engine.Domain(context.Background(), q.Domain, w.session).Host(context.Background(), q)
}

// certificate makes a certificate that its own pool trusts.
func certificate(t *testing.T, life time.Duration, names ...string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: names, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(life),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

// memory is a Store.
type memory struct {
	mu    sync.Mutex
	facts map[string][]byte
}

func (m *memory) Get(key string) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.facts[key]
	return b, ok
}

func (m *memory) Keys(prefix string) (keys []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k := range m.facts {
		if strings.HasPrefix(k, prefix) {
			keys = append(keys, k)
		}
	}
	return keys
}

func (m *memory) Put(key string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.facts[key] = value
	return nil
}

func (m *memory) Delete(key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.facts, key)
	return nil
}

// redirectTo has the Engine ask another DNS server, with another zone.
func (w *world) redirectTo(zone string) { w.redirect(dnstest.Serve(w.t, zone).Addr) }

// redirect has the Engine ask another DNS server.
func (w *world) redirect(addr string) {
	r, err := dns.New(dns.Config{Servers: []string{addr}, Attempts: 1, Now: func() int64 { return w.clock().UnixNano() }})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(r.Close)
	w.resolver = r
}
