package policy

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Type says how the text of a value is read.
type Type uint8

const (
	TypeInt       Type = iota // a whole number
	TypeBool                  // on, off and their kin
	TypeDuration              // 90, 90s, 20m, 1h30m, 5d
	TypeSize                  // octets: 20KB, 35MB
	TypeRate                  // N, N/T, N/unit, N/Tunit, with ,burst=B
	TypeEnum                  // one of Option.Enum
	TypeString                // any text
	TypeList                  // a list of texts
	TypeNetworks              // a list of addresses and blocks
	TypeAddress               // one IP address, or any
	TypeName                  // a host name
	TypePath                  // a file or directory
	TypeSecret                // text, a hash, file:PATH, env:NAME or credential:NAME
	TypeRetry                 // a duration, or a list of durations
	TypeRetries               // auto, or a whole number
	TypeBinding               // the name of a binding or binding_group
	TypeBindings              // a list of such names
	TypeEndpoints             // a list of ADDRESS or ADDRESS:PORT
	TypeGateway               // HOST, HOST:PORT, smtps://HOST or lmtp://HOST
	TypeMailbox               // an e-mail address
	TypeRoutes                // a list of hosts to send to, see ParseRoute
	TypeProxy                 // socks5://ADDRESS:PORT or haproxy://ADDRESS:PORT
)

var typeNames = [...]string{
	"integer", "boolean", "duration", "size", "rate", "choice", "text", "list", "networks",
	"address", "host name", "path", "secret", "duration or list", "integer or auto",
	"binding or group", "list of bindings and groups", "list of addresses", "gateway", "mailbox", "list of hosts", "proxy",
}

func (t Type) String() string { return typeNames[t] }

// Raw is a value as written: one text, or a list of texts.
type Raw struct {
	Text   string
	List   []string
	IsList bool
}

// Value is a checked value. Which fields hold depends on the option's type.
type Value struct {
	Text     string // as `config eval` prints it: as written; a rate as N/seconds
	Num      int64  // integers; sizes in octets; durations in ns; booleans 0 or 1; choices as an index
	Str      string // texts; paths and secrets may be replaced by config with what they stand for
	Rate     Rate
	List     []string
	Networks []netip.Prefix
	Times    []time.Duration
	Addr     netip.Addr
	IsList   bool // written as a list
}

// Bool reports whether a boolean is on.
func (v Value) Bool() bool { return v.Num != 0 }

// Duration returns a duration.
func (v Value) Duration() time.Duration { return time.Duration(v.Num) }

var (
	errNumber   = errors.New("not a whole number")
	errDuration = errors.New("not a duration")
	errSize     = errors.New("not a size")
	errRate     = errors.New("not a rate")
	errLarge    = errors.New("too large")
)

var units = map[string]time.Duration{
	"ms": time.Millisecond,
	"s":  time.Second, "sec": time.Second, "m": time.Minute, "min": time.Minute,
	"h": time.Hour, "hr": time.Hour, "d": 24 * time.Hour, "day": 24 * time.Hour,
}

// ParseDuration reads a duration: a bare number is seconds; 90s, 20m, 1h30m, 5d.
func ParseDuration(s string) (time.Duration, error) {
	if s == "" {
		return 0, errDuration
	}
	if isDigits(s) {
		s += "s"
	}
	var sum time.Duration
	for s != "" {
		n, rest, err := leadingInt(s)
		if err != nil {
			return 0, durationError(err)
		}
		end := strings.IndexFunc(rest, func(r rune) bool { return r >= '0' && r <= '9' })
		if end < 0 {
			end = len(rest)
		}
		unit, ok := units[strings.ToLower(rest[:end])]
		if !ok {
			return 0, errDuration
		}
		if n > int64((math.MaxInt64-sum)/unit) {
			return 0, errLarge
		}
		sum += time.Duration(n) * unit
		s = rest[end:]
	}
	return sum, nil
}

func durationError(err error) error {
	if errors.Is(err, errLarge) {
		return err
	}
	return errDuration
}

// ParseSize reads octets: 4096, 20KB, 35MB, 1GB; K is 1024.
func ParseSize(s string) (int64, error) {
	n, rest, err := leadingInt(s)
	if err != nil {
		if errors.Is(err, errLarge) {
			return 0, err
		}
		return 0, errSize
	}
	shift := 0
	switch strings.ToUpper(rest) {
	case "", "B":
	case "K", "KB", "KIB":
		shift = 10
	case "M", "MB", "MIB":
		shift = 20
	case "G", "GB", "GIB":
		shift = 30
	case "T", "TB", "TIB":
		shift = 40
	default:
		return 0, errSize
	}
	if n > math.MaxInt64>>shift {
		return 0, errLarge
	}
	return n << shift, nil
}

// ParseRate reads N (a second), N/T (T seconds), N/unit, N/Tunit, each with
// ",burst=B", and "unlimited". N 0 means no limit.
func ParseRate(s string) (Rate, error) {
	if strings.EqualFold(s, "unlimited") {
		return Rate{}, nil
	}
	body, burst, hasBurst := strings.Cut(s, ",")
	r := Rate{Per: time.Second}
	if hasBurst {
		name, n, ok := strings.Cut(strings.TrimSpace(burst), "=")
		if !ok || !strings.EqualFold(strings.TrimSpace(name), "burst") {
			return Rate{}, errRate
		}
		b, rest, err := leadingInt(strings.TrimSpace(n))
		if err != nil || rest != "" || b < 1 || b > maxRate {
			return Rate{}, fmt.Errorf("the burst must be from 1 to %d", int64(maxRate))
		}
		r.Burst = int(b)
	}
	count, per, hasPer := strings.Cut(strings.TrimSpace(body), "/")
	n, rest, err := leadingInt(count)
	if err != nil || rest != "" {
		return Rate{}, errRate
	}
	if n > maxRate {
		return Rate{}, errLarge
	}
	r.N = int(n)
	if !hasPer {
		return r, nil
	}
	if r.Per, err = parsePer(per); err != nil {
		return Rate{}, err
	}
	return r, nil
}

// maxRate bounds a rate's count, so that arithmetic in nanoseconds stays exact.
const maxRate = 1_000_000_000

func parsePer(s string) (time.Duration, error) {
	t := int64(1)
	if s == "" {
		return 0, errRate
	}
	unit := s
	if s[0] >= '0' && s[0] <= '9' {
		var err error
		if t, unit, err = leadingInt(s); err != nil {
			return 0, errRate
		}
	}
	per := time.Second
	if unit != "" {
		var ok bool
		if per, ok = units[strings.ToLower(unit)]; !ok || per < time.Second {
			return 0, errRate
		}
	}
	if t == 0 {
		return 0, errors.New("the time must not be 0")
	}
	if t > int64(365*24*time.Hour/per) {
		return 0, errLarge
	}
	return time.Duration(t) * per, nil
}

// String writes the rate as N/seconds, with ",burst=B" when one is set.
func (r Rate) String() string {
	if r.Per == 0 {
		return "unlimited"
	}
	s := strconv.Itoa(r.N) + "/" + strconv.FormatInt(int64(r.Per/time.Second), 10)
	if r.Burst != 0 {
		s += ",burst=" + strconv.Itoa(r.Burst)
	}
	return s
}

// IsSet reports whether the rate limits anything.
func (r Rate) IsSet() bool { return r.N > 0 }

func parseBool(s string) (on, ok bool) {
	switch strings.ToLower(s) {
	case "on", "true", "yes", "enabled", "1":
		return true, true
	case "off", "false", "no", "disabled", "0":
		return false, true
	}
	return false, false
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// leadingInt reads the digits that s begins with.
func leadingInt(s string) (n int64, rest string, err error) {
	i := 0
	for ; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		d := int64(s[i] - '0')
		if n > (math.MaxInt64-d)/10 {
			return 0, "", errLarge
		}
		n = n*10 + d
	}
	if i == 0 {
		return 0, "", errNumber
	}
	return n, s[i:], nil
}
