package bounce

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strings"

	"github.com/sluice-mta/sluice/internal/mail"
)

// Tags makes and knows the tags by which a report shows that it is about mail of this
// server: the day, and a keyed hash of the day and of what is tagged. nil makes none and
// knows none.
type Tags struct{ key []byte }

// NewTags returns the tags of a key; nil for an empty one.
func NewTags(key string) *Tags {
	if key == "" {
		return nil
	}
	return &Tags{key: []byte(key)}
}

const (
	tagLength = 15 // characters of 9 octets: 2 of the day, 7 of the hash
	tagDays   = 30 // a tag is good for so many days after its own
	dayLength = 86400e9
)

var tagEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func (t *Tags) make(day uint16, what string) string {
	h := hmac.New(sha256.New, t.key)
	var b [9]byte
	binary.BigEndian.PutUint16(b[:2], day)
	h.Write(b[:2])
	h.Write([]byte(strings.ToLower(what))) // on their way letters may change their case
	copy(b[2:], h.Sum(nil))
	return tagEncoding.EncodeToString(b[:])
}

// sign returns the tag of today.
func (t *Tags) sign(now int64, what string) string { return t.make(uint16(now/dayLength), what) }

// verify reports whether a tag was made for what, not more than tagDays ago.
func (t *Tags) verify(now int64, tag, what string) bool {
	if t == nil || len(tag) != tagLength {
		return false
	}
	raw, err := tagEncoding.DecodeString(strings.ToLower(tag))
	if err != nil || len(raw) != 9 {
		return false
	}
	day := binary.BigEndian.Uint16(raw)
	if age := uint16(now/dayLength) - day; age > tagDays { // a day ahead is as good as 65535 behind
		return false
	}
	return hmac.Equal([]byte(strings.ToLower(tag)), []byte(t.make(day, what)))
}

// maxPath is the octets of an address with room for its brackets (RFC 5321 §4.5.3.1.3).
const maxPath = 254

// ReturnPath is the return path of one recipient (VERP): local+rcpt=rcpt.domain@domain, or
// with tags local+rcpt=rcpt.domain=tag@domain. A sender or recipient that does not fit into
// such a one, because it is quoted, not ASCII or too long, gets the sender as it is.
func ReturnPath(sender mail.Address, rcpt *mail.Recipient, domain string, tags *Tags, now int64) mail.Address {
	if sender.IsNull() || !plainLocal(sender.Local) || !plainLocal(rcpt.Address.Local) || strings.ContainsAny(rcpt.Domain, "[]") {
		return sender
	}
	out := mail.Address{Local: sender.Local + "+" + rcpt.Address.Local + "=" + rcpt.Domain, Domain: sender.Domain}
	if domain != "" {
		out.Domain = domain
	}
	if tags != nil {
		out.Local += "=" + tags.sign(now, "verp "+out.Local)
	}
	if len(out.Local)+1+len(out.Domain) > maxPath {
		return sender
	}
	return out
}

// plainLocal reports whether a local part is a dot-string of ASCII (RFC 5321 §4.1.2).
func plainLocal(s string) bool {
	if s == "" || s[0] == '.' || s[len(s)-1] == '.' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),:;<>@[\]`, c) >= 0 {
			return false
		}
	}
	return true
}

// Returned is what a VERP return path says.
type Returned struct {
	Sender    mail.Address // with the domain of the return path
	Recipient mail.Address // zero: the address is no VERP return path
	Verified  bool         // its tag is right
}

// ParseReturnPath reads what ReturnPath made. An address that it did not make is the
// sender as it stands.
func ParseReturnPath(a mail.Address, tags *Tags, now int64) Returned {
	local := a.Local
	signed := false
	if i := strings.LastIndexByte(local, '='); i >= 0 && tags.verify(now, local[i+1:], "verp "+local[:i]) {
		local, signed = local[:i], true
	} else if i >= 0 && strings.Count(local, "=") > 1 && len(local)-i-1 == tagLength {
		local = local[:i] // a tag that is not ours, or of another key
	}
	at := strings.IndexByte(local, '+')
	eq := strings.LastIndexByte(local, '=')
	if at <= 0 || eq <= at+1 || eq == len(local)-1 {
		return Returned{Sender: a}
	}
	domain, err := mail.CanonicalDomain(local[eq+1:])
	if err != nil {
		return Returned{Sender: a}
	}
	return Returned{
		Sender:    mail.Address{Local: local[:at], Domain: a.Domain},
		Recipient: mail.Address{Local: local[at+1 : eq], Domain: domain}, Verified: signed,
	}
}

// EnvID is the ENVID of a message whose client gave none: its ID and a tag.
func (t *Tags) EnvID(now int64, id mail.ID) string {
	return id.String() + "." + t.sign(now, "envid "+id.String())
}

// ParseEnvID reads an ENVID that EnvID made; false: it is not one, or its tag is wrong.
func (t *Tags) ParseEnvID(now int64, s string) (mail.ID, bool) {
	text, tag, ok := strings.Cut(s, ".")
	if !ok {
		return mail.ID{}, false
	}
	id, err := mail.ParseID(text)
	return id, err == nil && t.verify(now, tag, "envid "+id.String())
}
