package spool

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/sluice-mta/sluice/internal/mail"
)

// envelopeVersion is the first octet of an encoded envelope.
const envelopeVersion = 1

// Bits of an encoded envelope and of a recipient.
const (
	envEightBit = 1 << iota
	envSMTPUTF8
	envReport
	envHigh // priority; neither: normal
	envLow
	envHeads // the content begins with signatures
	envTerms // terms of transport follow, see appendTerms
)

const (
	rcptSameBinding = 1 << iota // binding and group are those of the recipient before
	rcptDomainPlain             // the routing domain is the address's domain as it stands
	rcptHead                    // the content begins otherwise for it
	rcptSuppressed
)

// appendEnvelope appends the encoding of env, its ID left out: that is in the header.
func appendEnvelope(b []byte, env *mail.Envelope) []byte {
	var flags byte
	if env.EightBit {
		flags |= envEightBit
	}
	if env.SMTPUTF8 {
		flags |= envSMTPUTF8
	}
	if env.Report {
		flags |= envReport
	}
	switch env.Priority {
	case mail.PriorityHigh:
		flags |= envHigh
	case mail.PriorityLow:
		flags |= envLow
	case mail.PriorityNormal:
	}
	if env.Head > 0 || len(env.Heads) > 0 {
		flags |= envHeads
	}
	terms := appendTerms(nil, env)
	if len(terms) > 0 {
		flags |= envTerms
	}
	b = append(b, envelopeVersion, flags, byte(env.Ret))
	b = binary.AppendVarint(b, env.Received)
	b = binary.AppendVarint(b, env.Size)
	b = appendString(b, env.Sender.Local)
	b = appendString(b, env.Sender.Domain)
	b = appendString(b, env.Tenant)
	b = appendString(b, env.Job)
	b = appendString(b, env.EnvID)
	b = appendString(b, env.Source.Protocol)
	b = appendAddrPort(b, env.Source.Client)
	b = appendString(b, env.Source.Helo)
	b = appendString(b, env.Source.Login)
	b = appendString(b, env.Source.Listener)
	if flags&envHeads != 0 {
		b = binary.AppendUvarint(b, uint64(env.Head))
		b = binary.AppendUvarint(b, uint64(len(env.Heads)))
		for _, h := range env.Heads {
			b = appendString(b, string(h))
		}
	}
	if len(terms) > 0 {
		b = appendString(b, string(terms))
	}
	b = binary.AppendUvarint(b, uint64(len(env.Recipients)))
	var last *mail.Recipient
	for i := range env.Recipients {
		b = appendRecipient(b, &env.Recipients[i], last)
		last = &env.Recipients[i]
	}
	return b
}

func appendRecipient(b []byte, r, last *mail.Recipient) []byte {
	var flags byte
	if last != nil && last.Binding == r.Binding && last.Group == r.Group {
		flags |= rcptSameBinding
	}
	if r.Domain == r.Address.Domain {
		flags |= rcptDomainPlain
	}
	if r.Head != 0 {
		flags |= rcptHead
	}
	if r.Suppressed {
		flags |= rcptSuppressed
	}
	b = append(b, flags, byte(r.Notify))
	if r.Head != 0 {
		b = append(b, r.Head)
	}
	b = appendString(b, r.Address.Local)
	b = appendString(b, r.Address.Domain)
	if flags&rcptDomainPlain == 0 {
		b = appendString(b, r.Domain)
	}
	if flags&rcptSameBinding == 0 {
		b = appendString(b, r.Binding)
		b = appendString(b, r.Group)
	}
	return appendString(b, r.ORcpt)
}

// appendAddrPort appends a length, 0 for none, the address in its binary form with
// zone, and the port.
func appendAddrPort(b []byte, a netip.AddrPort) []byte {
	raw, _ := a.MarshalBinary() // never fails
	return appendString(b, string(raw))
}

// decodeEnvelope decodes what appendEnvelope wrote.
func decodeEnvelope(id mail.ID, b []byte) (*mail.Envelope, error) {
	r := &reader{b: b}
	if v := r.byte(); v != envelopeVersion {
		return nil, fmt.Errorf("envelope version %d: %w", v, errDecode)
	}
	flags := r.byte()
	env := &mail.Envelope{
		ID: id, EightBit: flags&envEightBit != 0, SMTPUTF8: flags&envSMTPUTF8 != 0, Report: flags&envReport != 0,
	}
	switch flags & (envHigh | envLow) {
	case envHigh:
		env.Priority = mail.PriorityHigh
	case envLow:
		env.Priority = mail.PriorityLow
	}
	env.Ret = mail.Ret(r.byte())
	env.Received = r.varint()
	env.Size = r.varint()
	env.Sender = mail.Address{Local: r.string(), Domain: r.string()}
	env.Tenant, env.Job, env.EnvID = r.string(), r.string(), r.string()
	env.Source.Protocol = r.string()
	if raw := r.bytes(); len(raw) > 0 {
		if err := env.Source.Client.UnmarshalBinary(raw); err != nil {
			return nil, fmt.Errorf("envelope: client address: %w", errDecode)
		}
	}
	env.Source.Helo, env.Source.Login, env.Source.Listener = r.string(), r.string(), r.string()
	if flags&envHeads != 0 {
		decodeHeads(r, env)
	}
	if flags&envTerms != 0 {
		decodeTerms(r, env)
	}
	n := r.count(5)
	if n > mail.MaxRecipients {
		return nil, fmt.Errorf("envelope: %d recipients: %w", n, errDecode)
	}
	if n > 0 {
		env.Recipients = make([]mail.Recipient, n)
	}
	for i := range env.Recipients {
		decodeRecipient(r, &env.Recipients[i], env.Recipients[:i])
	}
	if err := r.err(); err != nil {
		return nil, fmt.Errorf("envelope: %w", err)
	}
	return env, nil
}

// decodeHeads decodes how the content begins.
func decodeHeads(r *reader, env *mail.Envelope) {
	head := r.uvarint()
	if head > maxRecord {
		r.fail()
		return
	}
	env.Head = int(head)
	n := r.count(1)
	for range min(n, 255) {
		env.Heads = append(env.Heads, bytes.Clone(r.bytes()))
	}
	if n > 255 {
		r.fail()
	}
}

func decodeRecipient(r *reader, rc *mail.Recipient, before []mail.Recipient) {
	flags := r.byte()
	rc.Notify = mail.Notify(r.byte())
	if flags&rcptHead != 0 {
		rc.Head = r.byte()
	}
	rc.Suppressed = flags&rcptSuppressed != 0
	rc.Address = mail.Address{Local: r.string(), Domain: r.string()}
	if flags&rcptDomainPlain != 0 {
		rc.Domain = rc.Address.Domain
	} else {
		rc.Domain = r.string()
	}
	switch {
	case flags&rcptSameBinding == 0:
		rc.Binding, rc.Group = r.string(), r.string()
	case len(before) == 0:
		r.fail()
	default:
		last := &before[len(before)-1]
		rc.Binding, rc.Group = last.Binding, last.Group
	}
	rc.ORcpt = r.string()
}
