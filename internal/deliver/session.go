package deliver

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"

	"github.com/sluice-mta/sluice/internal/classify"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
	"github.com/sluice-mta/sluice/internal/smtp"
)

// open dials and brings the session to the point where mail can be sent; nil: it did.
func (c *conn) open() *ending {
	s := c.action.Policy.Session
	if !c.agent.cfg.AnyAddress {
		if end := c.prohibited(s); end != nil {
			return end
		}
	}
	c.trace.note("connects to %s [%s]:%d", c.action.Host, c.action.Address, c.action.Port)
	socket, err := c.agent.cfg.Dial(c.ctx, &c.action)
	if err != nil {
		class, reply := dialFailure(err, &c.action)
		if c.ctx.Err() != nil {
			class = sched.ConnectAborted
		}
		return &ending{class: class, reply: reply}
	}
	c.local = addrPort(socket.LocalAddr()).Addr()
	c.remote = netip.AddrPortFrom(c.action.Address, c.action.Port)
	c.trace.note("connected from %s", c.local)
	if !c.begin(smtp.NewClient(socket, timeouts(s))) {
		return &ending{class: sched.ConnectAborted}
	}
	c.client.Observe(&c.trace)
	c.client.SetTrust(c.proves)
	if end := c.greet(s); end != nil {
		return end
	}
	return c.login(s)
}

// greet goes through the opening of the protocol that is spoken.
func (c *conn) greet(s *policy.Session) *ending {
	switch c.action.Protocol {
	case policy.SMTPS:
		if end := c.encryptFirst(); end != nil {
			return end
		}
	case policy.LMTP:
		c.client.LMTP()
	case policy.SMTP:
	}
	rep, err := c.client.Greeting()
	if end := c.opening(rep, err); end != nil {
		return end
	}
	rep, err = c.client.Hello(s.EHLO)
	if end := c.opening(rep, err); end != nil || c.action.Protocol == policy.SMTPS {
		return end
	}
	return c.encrypt(s)
}

// proves looks whether the receiver's certificate proves its name, for mail that asks for
// that (REQUIRETLS): a session that demanded it has seen it.
func (c *conn) proves(state tls.ConnectionState) error {
	if t := c.action.TLS; t == sched.TLSVerifyHost || t == sched.TLSDANE {
		return nil
	}
	return c.agent.cfg.TLS.VerifyHost(requirement(&c.action), state)
}

// opening judges a step of the opening; nil: it goes on.
func (c *conn) opening(rep mail.Reply, err error) *ending {
	if err == nil && rep.Class() == 2 {
		return nil
	}
	end := &ending{class: connectClass(classify.Opening(rep, c.cause(rep))), reply: rep, quit: err == nil}
	if endKind(err) == smtp.EndAborted {
		end.class = sched.ConnectAborted
	}
	return end
}

// over judges what ended a session that was ready.
func (c *conn) over(err error) *ending {
	var se *smtp.SessionError
	if !errors.As(err, &se) {
		return &ending{class: sched.ConnectHost, reply: mail.Reply{Text: err.Error()}}
	}
	end := &ending{reply: se.Reply}
	switch se.Kind {
	case smtp.EndAborted:
		end.class = sched.ConnectAborted
	case smtp.EndLocal:
		end.class = sched.ConnectOK
	default:
		end.class = connectClass(classify.Ending(se.Reply, se.Kind == smtp.EndTimeout, c.delivered, c.cause(se.Reply)))
	}
	return end
}

// cause is what a reply complains of, by the reply rules.
func (c *conn) cause(rep mail.Reply) classify.Cause {
	if rep.Class() < 4 {
		return classify.CauseUnknown // no refusal, or not the receiver's words
	}
	j := c.agent.cfg.Judge(&classify.Subject{Reply: rep, Host: c.action.Host, Domain: c.action.Domain})
	return j.Cause
}

func connectClass(e classify.Effect) sched.ConnectClass {
	switch e {
	case classify.EffectBusy:
		return sched.ConnectBusy
	case classify.EffectHost:
		return sched.ConnectHost
	case classify.EffectNever:
		return sched.ConnectNever
	case classify.EffectTLS:
		return sched.ConnectTLS
	case classify.EffectNone:
	}
	return sched.ConnectOK
}

func timeouts(s *policy.Session) smtp.ClientTimeouts {
	return smtp.ClientTimeouts{
		Greeting: s.GreetingTimeout, EHLO: s.EHLOTimeout, TLS: s.TLSTimeout,
		Mail: s.MailTimeout, Rcpt: s.RcptTimeout, Data: s.DataTimeout,
		DataBlock: s.DataBlockTimeout, Body: s.BodyTimeout,
		Rset: s.RsetTimeout, Quit: s.QuitTimeout,
	}
}

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		ap := t.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}
