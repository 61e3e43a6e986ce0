package policy

import (
	"strconv"
	"strings"
	"time"
)

// Allowed says in words which values the option takes.
func (o *Option) Allowed() string {
	switch o.Type {
	case TypeInt, TypeRetries:
		s := "a whole number " + o.span(func(n int64) string { return strconv.FormatInt(n, 10) })
		if o.Minus != "" {
			s += ", or -1 (" + o.Minus + ")"
		}
		if o.Type == TypeRetries {
			s = "auto, or " + s
		}
		return s
	case TypeBool:
		return "on, off (or true/false, yes/no, enabled/disabled, 1/0)"
	case TypeDuration:
		return "seconds, or 90s, 20m, 1h30m, 5d, " + o.span(durationText)
	case TypeRetry:
		return "one duration (it doubles), or a list ( 5m 10m 20m ) that is followed, each " + o.span(durationText)
	case TypeSize:
		return "octets, or 20KB, 35MB, 1GB, " + o.span(sizeText)
	case TypeRate:
		return "N (a second), N/T (T seconds), N/unit or N/Tunit (s, sec, m, min, h, hr, d, day), with \",burst=B\"; or unlimited"
	case TypeEnum:
		return strings.Join(o.Enum, ", ")
	case TypeList:
		if len(o.Enum) > 0 {
			return "a list of " + strings.Join(o.Enum, ", ")
		}
		return "a list ( ... )"
	}
	return allowedText[o.Type]
}

var allowedText = map[Type]string{
	TypeString:    "a text",
	TypeNetworks:  "a list of addresses and blocks, ( 192.0.2.1 10.0.0.0/8 \"2001:db8::/32\" )",
	TypeAddress:   "an IPv4 or IPv6 address, or any",
	TypeName:      "a host name",
	TypePath:      "a path, relative to the configuration file",
	TypeSecret:    "file:PATH, env:NAME, credential:NAME, a bcrypt or argon2 hash, or the text itself",
	TypeBinding:   "the name of a binding or binding_group",
	TypeBindings:  "a list of names of bindings and binding_groups",
	TypeEndpoints: "a list of ADDRESS or ADDRESS:PORT",
	TypeGateway:   "HOST, HOST:PORT, smtps://HOST[:PORT] or lmtp://HOST[:PORT]",
	TypeProxy:     "socks5://ADDRESS:PORT or haproxy://ADDRESS:PORT",
	TypeMailbox:   "an e-mail address",
	TypeRoutes:    "a list of HOST, HOST:PORT, smtps://HOST or lmtp://HOST, with a preference before it if some are better, ( \"10 relay.example.com:2525\" \"20 192.0.2.1\" )",
}

func (o *Option) span(f func(int64) string) string {
	if o.Max != 0 {
		return "from " + f(o.Min) + " to " + f(o.Max)
	}
	return f(o.Min) + " or more"
}

func durationText(n int64) string {
	d := time.Duration(n)
	switch {
	case d >= 24*time.Hour && d%(24*time.Hour) == 0:
		return strconv.FormatInt(int64(d/(24*time.Hour)), 10) + "d"
	case d >= time.Hour && d%time.Hour == 0:
		return strconv.FormatInt(int64(d/time.Hour), 10) + "h"
	case d >= time.Minute && d%time.Minute == 0:
		return strconv.FormatInt(int64(d/time.Minute), 10) + "m"
	case d%time.Second == 0:
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	}
	return d.String()
}

func sizeText(n int64) string {
	for _, u := range [...]struct {
		shift int
		name  string
	}{{30, "GB"}, {20, "MB"}, {10, "KB"}} {
		if n >= 1<<u.shift && n%(1<<u.shift) == 0 {
			return strconv.FormatInt(n>>u.shift, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}
