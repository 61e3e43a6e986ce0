package inject

import (
	"errors"
	"slices"

	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sign"
)

// maxHeads bounds how many ways of signing one message may have: Recipient.Head is one
// octet. The recipients beyond get the first.
const maxHeads = 200

// signing signs a message while its content passes: what stays of the header block is
// gathered, the body is hashed as it comes.
type signing struct {
	head []byte // the header block, until it is whole
	msg  *sign.Message
	sets []set          // ways of signing, the first one not unsigned if there is one
	of   map[string]int // recipient domain -> set
}

// set is one way of signing; nil: unsigned.
type set struct{ how *policy.Signing }

func (a set) equal(how *policy.Signing) bool {
	if a.how == nil || how == nil {
		return a.how == how
	}
	return a.how == how || a.how.Key == how.Key && a.how.Domain == how.Domain && slices.Equal(a.how.Selectors, how.Selectors)
}

// tap sees every octet that is kept, in order.
func (m *Message) tap(p []byte) {
	s := m.signing
	if s.msg == nil {
		from := max(len(s.head)-3, 0)
		s.head = append(s.head, p...)
		n := headerEnd(s.head, from)
		if n < 0 {
			return
		}
		// The whole header block has been read before its last octets come here: the binding
		// that it may name is known.
		if !m.chooseSigning() {
			m.signing = nil
			return
		}
		s.msg = sign.NewMessage(s.head[:n:n])
		p = s.head[n:]
	}
	_, _ = s.msg.Write(p)
}

// chooseSigning finds how the recipients' copies are to be signed, and reports whether
// any is.
func (m *Message) chooseSigning() bool {
	s := m.signing
	c, r := m.choose()
	if r.Code != 0 {
		return false // it is going to be refused
	}
	any := false
	s.of = make(map[string]int, 1)
	for i := range m.env.Recipients {
		d := m.env.Recipients[i].Domain
		if _, ok := s.of[d]; ok {
			continue
		}
		how := m.in.cfg.Signing(c.binding, d)
		any = any || how != nil
		k := slices.IndexFunc(s.sets, func(x set) bool { return x.equal(how) })
		if k < 0 && len(s.sets) < maxHeads {
			k = len(s.sets)
			s.sets = append(s.sets, set{how})
		}
		s.of[d] = max(k, 0)
	}
	return any
}

// sign makes the signatures, notes in the envelope who gets which, and returns those
// that the content begins with.
func (m *Message) sign() []byte {
	s := m.signing
	if s == nil {
		return nil
	}
	if s.msg == nil { // no body, not even an empty line
		if !m.chooseSigning() {
			return nil
		}
		s.msg = sign.NewMessage(s.head)
	}
	heads := make([][]byte, len(s.sets))
	for k := range s.sets {
		heads[k] = m.in.signatures(s.msg, s.sets[k].how)
	}
	env := m.env
	env.Head, env.Heads = len(heads[0]), heads[1:]
	for i := range env.Recipients {
		env.Recipients[i].Head = uint8(s.of[env.Recipients[i].Domain])
	}
	return heads[0]
}

// signatures signs a message in one way. A message that cannot be signed leaves unsigned,
// is counted, and told of.
func (in *Injector) signatures(msg *sign.Message, how *policy.Signing) []byte {
	if how == nil {
		return nil
	}
	specs := make([]sign.Spec, len(how.Selectors))
	for i, name := range how.Selectors {
		specs[i] = sign.Spec{Key: how.Key, Selector: name, Domain: how.Domain}
	}
	fields, err := msg.Fields(in.keys, specs, in.cfg.Now())
	if err != nil {
		in.unsigned.Add(1)
		if in.cfg.Unsigned != nil {
			in.cfg.Unsigned(err)
		}
		if !errors.Is(err, sign.ErrNoKey) {
			in.badKeys.Add(1)
		}
	}
	if len(fields) > 0 {
		in.signed.Add(1)
	}
	return fields
}

// SignReport signs a message of the server's own for a recipient domain, and returns it
// with its signatures.
func (in *Injector) SignReport(content []byte, binding, domain string) []byte {
	if in.cfg.Signing == nil {
		return content
	}
	how := in.cfg.Signing(binding, domain)
	n := headerEnd(content, 0)
	if how == nil || n < 0 {
		return content
	}
	msg := sign.NewMessage(content[:n:n])
	_, _ = msg.Write(content[n:])
	return append(in.signatures(msg, how), content...)
}
