package deliver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"

	"github.com/sluice-mta/sluice/internal/policy"
)

// socksError is a request that a SOCKS5 proxy refused (RFC 1928 §6).
type socksError byte

var socksReasons = map[socksError]string{
	1: "general failure", 2: "not allowed by its rules", 3: "network unreachable", 4: "host unreachable",
	5: "connection refused", 6: "TTL expired", 7: "command not supported", 8: "address type not supported",
}

func (e socksError) Error() string {
	if r := socksReasons[e]; r != "" {
		return "the proxy answers: " + r
	}
	return fmt.Sprintf("the proxy answers with %d", byte(e))
}

// receivers reports whether the refusal speaks of the receiver, not of the proxy.
func (e socksError) receivers() bool { return e >= 3 && e <= 6 }

var (
	errNotSOCKS  = errors.New("the proxy does not speak SOCKS5")
	errSOCKSAuth = errors.New("the proxy refuses the login")
	errNoMethod  = errors.New("the proxy wants another login than proxy_user gives")
)

// socks asks a SOCKS5 proxy for a connection to an address (RFC 1928), and returns the
// address that the proxy has made it from; invalid: it does not say.
func socks(conn net.Conn, p *policy.Proxy, to netip.AddrPort) (netip.Addr, error) {
	if err := socksLogin(conn, p); err != nil {
		return netip.Addr{}, err
	}
	request := []byte{5, 1, 0}
	if a := to.Addr(); a.Is4() {
		request = append(append(request, 1), a.AsSlice()...)
	} else {
		request = append(append(request, 4), a.AsSlice()...)
	}
	request = binary.BigEndian.AppendUint16(request, to.Port())
	if _, err := conn.Write(request); err != nil {
		return netip.Addr{}, err
	}
	var head [4]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return netip.Addr{}, err
	}
	switch {
	case head[0] != 5:
		return netip.Addr{}, errNotSOCKS
	case head[1] != 0:
		return netip.Addr{}, socksError(head[1])
	}
	return socksBound(conn, head[3])
}

// socksLogin agrees on a method, and logs in where that asks for it (RFC 1929).
func socksLogin(conn net.Conn, p *policy.Proxy) error {
	methods := []byte{5, 1, 0}
	if p.User != "" {
		methods = []byte{5, 2, 0, 2}
	}
	if _, err := conn.Write(methods); err != nil {
		return err
	}
	var chosen [2]byte
	if _, err := io.ReadFull(conn, chosen[:]); err != nil {
		return err
	}
	switch {
	case chosen[0] != 5:
		return errNotSOCKS
	case chosen[1] == 0:
		return nil
	case chosen[1] != 2 || p.User == "":
		return errNoMethod
	}
	user, password := p.User, p.Password.Value
	if len(user) > 255 || len(password) > 255 || password == "" {
		return errSOCKSAuth
	}
	login := append([]byte{1, byte(len(user))}, user...)
	login = append(append(login, byte(len(password))), password...)
	if _, err := conn.Write(login); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, chosen[:]); err != nil {
		return err
	}
	if chosen[1] != 0 {
		return errSOCKSAuth
	}
	return nil
}

// socksBound reads the address that the proxy has bound. What comes after it is the
// receiver's.
func socksBound(conn net.Conn, kind byte) (netip.Addr, error) {
	size := map[byte]int{1: 4, 4: 16}[kind]
	if kind == 3 {
		var n [1]byte
		if _, err := io.ReadFull(conn, n[:]); err != nil {
			return netip.Addr{}, err
		}
		size = int(n[0])
	}
	if size == 0 {
		return netip.Addr{}, errNotSOCKS
	}
	rest := make([]byte, size+2)
	if _, err := io.ReadFull(conn, rest); err != nil {
		return netip.Addr{}, err
	}
	a, ok := netip.AddrFromSlice(rest[:size])
	if !ok || kind == 3 || a.IsUnspecified() {
		return netip.Addr{}, nil
	}
	return a.Unmap(), nil
}
