package spooltest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"

	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/spool"
)

// ID returns the n-th ID of a series; they sort by n.
func ID(n int) mail.ID {
	var r [10]byte
	r[9] = byte(n)
	return mail.NewID(1_700_000_000_000+int64(n), r)
}

// Envelope returns an envelope with recipients, every field set by the number.
func Envelope(id mail.ID, recipients int) *mail.Envelope {
	env := &mail.Envelope{
		ID: id, Sender: mail.Address{Local: "sender", Domain: "Origin.test"}, Received: id.Millis() * 1e6, Size: 17,
		Tenant: "tenant", Job: "job", Priority: mail.Priority(id[15] % mail.Priorities), EnvID: "env+2Bid", Ret: mail.RetHeaders, EightBit: true, SMTPUTF8: true,
		Source: mail.Source{
			Protocol: "smtp", Client: netip.MustParseAddrPort("127.0.0.1:2525"), Helo: "client.test", Login: "user",
			Listener: "127.0.0.1:25",
		},
	}
	if id[15]%2 == 1 {
		env.Head, env.Heads = 5, [][]byte{{}, []byte("DKIM-Signature: other\r\n")}
	}
	if id[15]%3 == 1 {
		env.RequireTLS, env.Release = true, 1_700_000_100_000_000_000
		env.By = mail.DeliverBy{Deadline: 1_700_000_200_000_000_000, Mode: mail.ByNotify, Trace: true, Relaxed: true}
	}
	env.TLSNotRequired = id[15]%5 == 1
	for i := range recipients {
		env.Recipients = append(env.Recipients, mail.Recipient{
			Address: mail.Address{Local: fmt.Sprintf("r%d", i), Domain: fmt.Sprintf("D%d.test", i/3)},
			Domain:  fmt.Sprintf("d%d.test", i/3), Binding: fmt.Sprintf("ip-%d", i/2), Group: "group",
			ORcpt: "rfc822;r+2B@d.test", Notify: mail.NotifyFailure | mail.NotifyDelay,
			Head: uint8(i % (1 + len(env.Heads))), Suppressed: i%4 == 3,
		})
	}
	return env
}

// Put stores a message.
func Put(s spool.Spool, env *mail.Envelope, prefix, content []byte) error {
	d := s.Create(env.ID)
	if _, err := d.Write(content); err != nil {
		d.Abort()
		return err
	}
	return d.Commit(env, prefix)
}

// Commit stores a batch and waits until it is written.
func Commit(s spool.Spool, b spool.Batch) error {
	c := make(chan error, 1)
	s.Commit(b, func(err error) { c <- err })
	return <-c
}

// Content reads the whole content of a message, by Bytes or by pieces.
func Content(m spool.Message) ([]byte, error) {
	if b := m.Bytes(); b != nil {
		return b, nil
	}
	return io.ReadAll(io.NewSectionReader(m, 0, m.Size()))
}

// Check opens a message and compares it.
func Check(s spool.Spool, env *mail.Envelope, content []byte) error {
	m, err := s.Open(env.ID)
	if err != nil {
		return err
	}
	defer m.Close()
	if err := sameEnvelope(m.Envelope(), env); err != nil {
		return err
	}
	alone, err := s.Envelope(env.ID)
	if err != nil {
		return err
	}
	if err := sameEnvelope(alone, env); err != nil {
		return fmt.Errorf("read alone: %w", err)
	}
	got, err := Content(m)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, content) || m.Size() != int64(len(content)) {
		return fmt.Errorf("message %s: content of %d octets differs, want %d", env.ID, len(got), len(content))
	}
	part := make([]byte, 7)
	if n, err := m.ReadAt(part, int64(len(content))-3); len(content) > 3 && (n != 3 || !errors.Is(err, io.EOF)) {
		return fmt.Errorf("message %s: read of the last three octets: %d, %v", env.ID, n, err)
	}
	return nil
}

func sameEnvelope(a, b *mail.Envelope) error {
	if x, y := fmt.Sprintf("%+v", *a), fmt.Sprintf("%+v", *b); x != y {
		return fmt.Errorf("envelope differs:\n got %s\nwant %s", x, y)
	}
	return nil
}

func noise(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}
