package deliver

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
)

// answering listens and writes what it is told to each connection, whatever that says.
func answering(t *testing.T, say string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, say)
		_ = c.SetReadDeadline(time.Now().Add(patience))
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// TestProxyRefusals: what a proxy says of the receiver is the receiver's; everything else is
// trouble of our own.
func TestProxyRefusals(t *testing.T) {
	refusal := func(code byte) string {
		return "\x05\x00\x05" + string(rune(code)) + "\x00\x01\x00\x00\x00\x00\x00\x00"
	}
	for name, tt := range map[string]struct {
		say   string
		want  sched.ConnectClass
		words string
	}{
		"general failure":     {refusal(1), sched.ConnectLocalAddress, "general failure"},
		"not allowed":         {refusal(2), sched.ConnectLocalAddress, "not allowed by its rules"},
		"network unreachable": {refusal(3), sched.ConnectHost, "network unreachable"},
		"host unreachable":    {refusal(4), sched.ConnectHost, "host unreachable"},
		"refused":             {refusal(5), sched.ConnectHost, "connection refused"},
		"TTL":                 {refusal(6), sched.ConnectHost, "TTL expired"},
		"command":             {refusal(7), sched.ConnectLocalAddress, "command not supported"},
		"unknown":             {refusal(99), sched.ConnectLocalAddress, "answers with 99"},
		"wants a login":       {"\x05\x02", sched.ConnectLocalAddress, "wants another login"},
		"no method":           {"\x05\xff", sched.ConnectLocalAddress, "wants another login"},
		"not a proxy":         {"220 mx.test ESMTP\r\n", sched.ConnectLocalAddress, "does not speak SOCKS5"},
		"silent":              {"", sched.ConnectLocalAddress, "nothing is sent through this binding"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, netip.MustParseAddrPort("127.0.0.1:9"))
			s := w.action.Policy.Session
			s.Proxy = policy.Proxy{Kind: policy.ProxySOCKS5, Address: answering(t, tt.say)}
			s.ConnectTimeout = 200 * time.Millisecond
			w.start()
			got := until[sched.ConnectFailed](w, 1)
			if got.Class != tt.want || !strings.Contains(got.Reply.Text, tt.words) || got.Class.Local() != (tt.want != sched.ConnectHost) {
				t.Errorf("got %s", tell(got))
			}
			until[sched.Closed](w, 1)
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		w := newWorld(t, netip.MustParseAddrPort("127.0.0.1:9"))
		w.action.Policy.Session.Proxy = policy.Proxy{Kind: policy.ProxyHAProxy, Address: netip.MustParseAddrPort("127.0.0.1:1")}
		w.start()
		if got := until[sched.ConnectFailed](w, 1); got.Class != sched.ConnectLocalAddress || !strings.Contains(got.Reply.Text, "proxy 127.0.0.1:1") {
			t.Errorf("got %s", tell(got))
		}
	})
	t.Run("cut while the proxy is silent", func(t *testing.T) {
		w := newWorld(t, netip.MustParseAddrPort("127.0.0.1:9"))
		w.action.Policy.Session.Proxy = policy.Proxy{Kind: policy.ProxySOCKS5, Address: answering(t, "\x05\x00")}
		w.start()
		w.agent.Close(sched.Close{Conn: 1, How: sched.CloseAbort})
		if got := until[sched.ConnectFailed](w, 1); got.Class != sched.ConnectAborted {
			t.Errorf("got %s", tell(got))
		}
	})
}

// pipe is a proxy's side of a conversation that is known in advance.
type pipe struct {
	net.Conn
	in  *bytes.Reader
	out bytes.Buffer
}

func (p *pipe) Read(b []byte) (int, error)  { return p.in.Read(b) }
func (p *pipe) Write(b []byte) (int, error) { return p.out.Write(b) }

// TestSOCKS: what is asked, and the source address that the proxy names.
func TestSOCKS(t *testing.T) {
	const method, ok4 = "\x05\x00", "\x05\x00\x00\x01\xc6\x33\x64\x07\x30\x39"
	for name, tt := range map[string]struct {
		proxy      policy.Proxy
		to         string
		say, asked string
		from       string
	}{
		"IPv4":             {policy.Proxy{}, "192.0.2.1:25", method + ok4, "\x05\x01\x00\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x19", "198.51.100.7"},
		"IPv6":             {policy.Proxy{}, "[2001:db8::1]:25", method + "\x05\x00\x00\x04" + strings.Repeat("\x00", 15) + "\x09\x00\x01", "\x05\x01\x00\x05\x01\x00\x04\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x01\x00\x19", "::9"},
		"a name as source": {policy.Proxy{}, "192.0.2.1:25", method + "\x05\x00\x00\x03\x03abc\x00\x01", "\x05\x01\x00\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x19", ""},
		"unspecified":      {policy.Proxy{}, "192.0.2.1:25", method + "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00", "\x05\x01\x00\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x19", ""},
		"with a login":     {policy.Proxy{User: "us", Password: policy.Secret{Value: "pw"}}, "192.0.2.1:25", "\x05\x02\x01\x00" + ok4, "\x05\x02\x00\x02\x01\x02us\x02pw\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x19", "198.51.100.7"},
	} {
		p := &pipe{in: bytes.NewReader([]byte(tt.say + "220 hi"))}
		from, err := socks(p, &tt.proxy, netip.MustParseAddrPort(tt.to))
		if err != nil || p.out.String() != tt.asked || from.IsValid() != (tt.from != "") || from.IsValid() && from.String() != tt.from {
			t.Errorf("%s: from %v, %v, asked %q", name, from, err, p.out.String())
		}
		if rest, _ := io.ReadAll(p.in); string(rest) != "220 hi" {
			t.Errorf("%s: %q is left for the session", name, rest)
		}
	}
}

// Whatever a proxy answers: an address, or an error; never more than is its own is read.
func FuzzSOCKS(f *testing.F) {
	f.Add([]byte("\x05\x00\x05\x00\x00\x01\xc6\x33\x64\x07\x30\x39"), false)
	f.Add([]byte("\x05\x02\x01\x00\x05\x00\x00\x03\x03abc\x00\x01"), true)
	f.Add([]byte("\x05\x00\x05\x05\x00\x01"), false)
	f.Fuzz(func(t *testing.T, say []byte, login bool) {
		proxy := policy.Proxy{}
		if login {
			proxy.User, proxy.Password.Value = "u", "p"
		}
		p := &pipe{in: bytes.NewReader(say)}
		from, err := socks(p, &proxy, netip.MustParseAddrPort("192.0.2.1:25"))
		if err != nil && from.IsValid() || from.IsValid() && from.IsUnspecified() {
			t.Errorf("%v, %v", from, err)
		}
		if read := len(say) - p.in.Len(); read > 2+2+4+1+255+2 {
			t.Errorf("%d octets read", read)
		}
	})
}
