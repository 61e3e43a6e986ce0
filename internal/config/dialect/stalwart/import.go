package stalwart

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/sluice-mta/sluice/internal/config/dialect"
	"github.com/sluice-mta/sluice/internal/policy"
)

// rule says what a key becomes.
type rule struct {
	option  string // ours
	take    func(value) (policy.Raw, error)
	comment string // behind the value
	note    string // said whatever the value
}

var rules = map[string]rule{
	"queue.outbound.limits.mx":         {option: "max_mx_hosts", take: number},
	"queue.outbound.limits.multihomed": {option: "max_addresses_per_host", take: number},

	"queue.outbound.timeouts.connect":   {option: "connect_timeout", take: span},
	"queue.outbound.timeouts.greeting":  {option: "greeting_timeout", take: span},
	"queue.outbound.timeouts.tls":       {option: "tls_timeout", take: span},
	"queue.outbound.timeouts.ehlo":      {option: "ehlo_timeout", take: span},
	"queue.outbound.timeouts.mail-from": {option: "mailfrom_timeout", take: span},
	"queue.outbound.timeouts.rcpt-to":   {option: "rcptto_timeout", take: span},
	"queue.outbound.timeouts.data": {
		option: "data_timeout", take: span,
		comment: "the reply to DATA alone: the body has data_block_timeout for each block, the final dot body_timeout",
	},
	"queue.outbound.timeouts.mta-sts": {option: "mta_sts_timeout", take: span},

	"queue.outbound.hostname":                {option: "ehlo_hostname", take: word},
	"queue.outbound.tls.starttls":            {option: "tls", take: oneOf(map[string]string{"optional": "ifavailable", "require": "required", "disable": "no"})},
	"queue.outbound.tls.allow-invalid-certs": {option: "tls_verify", take: oneOf(map[string]string{"true": "no"}), note: "without it certificates are verified there; here tls_verify = host asks for it"},
	"queue.outbound.tls.dane":                {option: "use_dane", take: oneOf(map[string]string{"optional": "on", "disable": "off"})},
	"queue.outbound.tls.mta-sts":             {option: "use_mta_sts", take: oneOf(map[string]string{"optional": "on", "disable": "off"})},
	"queue.outbound.ip-strategy": {
		option: "use_ipv6", take: oneOf(map[string]string{"ipv4_only": "off", "ipv4_then_ipv6": "on", "ipv6_then_ipv4": "on", "ipv4-only": "off", "ipv4-then-ipv6": "on", "ipv6-then-ipv4": "on"}),
		comment: "the families of a host are tried in turn",
	},

	"queue.schedule.retry":  {option: "retry_interval", take: spans},
	"queue.schedule.expire": {option: "message_expiration", take: span},
	"queue.schedule.notify": {option: "generate_delay_dsn", take: always("on"), note: "one delay report is sent, four hours after a message came; other times cannot be set"},
}

// Import carries a configuration over. The error says what is no TOML; everything else is
// in the notes. path names the file in the result.
func Import(path string, data []byte) (dialect.Result, error) {
	entries, err := read(data)
	if err != nil {
		return dialect.Result{}, fmt.Errorf("read %s: %w", path, err)
	}
	im := importer{remotes: remotesOf(entries)}
	for i := range entries {
		im.entry(&entries[i])
	}
	return im.w.Result("the Stalwart configuration " + filepath.Base(path)), nil
}

type importer struct {
	w       dialect.Writer
	remotes map[string]*remote
}

func (im *importer) entry(e *entry) {
	switch r, ok := rules[e.key]; {
	case ok:
		im.choices(e, r)
	case e.key == "queue.outbound.next-hop":
		im.choices(e, rule{option: "gateway", take: im.nextHop})
	case strings.HasPrefix(e.key, "queue.outbound.source-ip."):
		im.w.Note(e.line, e.column, "%s: declare a Binding with bind_address for each address, in a Binding_Group if mail is to be spread over them", e.key)
	case strings.HasPrefix(e.key, "remote."):
		im.remoteKey(e)
	default:
		im.w.Note(e.line, e.column, "%s has no counterpart", e.key)
	}
}

// choices carries a value over, for each domain that conditions name.
func (im *importer) choices(e *entry, r rule) {
	list, unknown := choices(e.value)
	for _, u := range unknown {
		im.w.Note(e.line, e.column, "%s: the condition %q has no counterpart", e.key, u)
	}
	for _, c := range list {
		raw, err := r.take(c.value)
		if err == nil && raw.Text == "" && !raw.IsList {
			continue // the default
		}
		if err == nil {
			err = im.w.Set(c.domain, dialect.Setting{Name: r.option, Value: raw, Comment: r.comment})
		}
		if err != nil {
			im.w.Note(e.line, e.column, "%s: %v", e.key, err)
			continue
		}
		if r.note != "" {
			im.w.Note(e.line, e.column, "%s: %s", e.key, r.note)
		}
	}
}

func number(v value) (policy.Raw, error) {
	s, ok := literal(v)
	if !ok {
		return policy.Raw{}, errExpression
	}
	return policy.Raw{Text: strings.ReplaceAll(s, "_", "")}, nil
}

func word(v value) (policy.Raw, error) {
	s, ok := literal(v)
	if !ok {
		return policy.Raw{}, errExpression
	}
	return policy.Raw{Text: s}, nil
}

func span(v value) (policy.Raw, error) {
	s, ok := literal(v)
	if ok {
		s, ok = duration(s)
	}
	if !ok {
		return policy.Raw{}, errDuration
	}
	return policy.Raw{Text: s}, nil
}

// spans reads durations as a list, or as the text of one: "[2m, 5m]".
func spans(v value) (policy.Raw, error) {
	if v.kind == scalar {
		for part := range strings.SplitSeq(strings.Trim(strings.TrimSpace(v.text), "[]"), ",") {
			v.list = append(v.list, value{text: strings.TrimSpace(part)})
		}
	}
	out := policy.Raw{IsList: true}
	for _, x := range v.list {
		d, err := span(x)
		if err != nil {
			return policy.Raw{}, err
		}
		out.List = append(out.List, d.Text)
	}
	return out, nil
}

func oneOf(words map[string]string) func(value) (policy.Raw, error) {
	return func(v value) (policy.Raw, error) {
		s, ok := literal(v)
		if !ok {
			return policy.Raw{}, errExpression
		}
		ours, ok := words[s]
		if !ok {
			return policy.Raw{}, fmt.Errorf("the value %q has no counterpart", s)
		}
		return policy.Raw{Text: ours}, nil
	}
}

func always(text string) func(value) (policy.Raw, error) {
	return func(value) (policy.Raw, error) { return policy.Raw{Text: text}, nil }
}
