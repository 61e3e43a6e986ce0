package deliver

import "io"

// contentFor is the content of a message as a recipient gets it: its signatures may differ
// from other recipients'. All recipients of a part have a domain in common, and with it
// their signatures.
func contentFor(msg Message, recipients []int) content {
	env := msg.Envelope()
	head := 0
	if len(recipients) > 0 && recipients[0] < len(env.Recipients) {
		head = int(env.Recipients[recipients[0]].Head)
	}
	if head == 0 || head > len(env.Heads) {
		return msg
	}
	return &headed{msg: msg, head: env.Heads[head-1], cut: min(int64(env.Head), msg.Size())}
}

// content is what smtp.ClientContent asks for.
type content interface {
	Size() int64
	Bytes() []byte
	io.ReaderAt
}

// headed is a message with another beginning.
type headed struct {
	msg  Message
	head []byte // stands in the place of
	cut  int64  // so many octets
	all  []byte // the whole, once it was asked for
}

func (h *headed) Size() int64 { return int64(len(h.head)) + h.msg.Size() - h.cut }

func (h *headed) Bytes() []byte {
	b := h.msg.Bytes()
	switch {
	case b == nil:
		return nil
	case len(h.head) == 0:
		return b[h.cut:]
	case h.all == nil:
		h.all = append(append(make([]byte, 0, h.Size()), h.head...), b[h.cut:]...)
	}
	return h.all
}

// ReadAt implements io.ReaderAt.
func (h *headed) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	if off < int64(len(h.head)) {
		n = copy(p, h.head[off:])
		if n == len(p) {
			return n, nil
		}
	}
	k, err := h.msg.ReadAt(p[n:], off+int64(n)-int64(len(h.head))+h.cut)
	return n + k, err
}
