package deliver

import (
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/sched"
)

// encryptFirst makes TLS the first thing of the session (smtps://).
func (c *conn) encryptFirst() *ending {
	var seen error // a host that the operator has named has no policy that is tested
	config, end := c.tlsConfig(&seen)
	if end != nil {
		end.quit = false
		return end
	}
	rep, err := c.client.Encrypt(config)
	if err != nil {
		c.secured(tlsFailure(rep, err), rep.String())
		return c.opening(rep, err)
	}
	c.secured(TLSNone, "")
	c.trace.note("encrypted: %s", c.client.TLS())
	return nil
}

// login tells a gateway who we are, if it is to be told. Nobody else is, and nobody whose
// connection is less safe than auth_security asks.
func (c *conn) login(s *policy.Session) *ending {
	if s.Auth.User == "" {
		return nil
	}
	want := c.action.TLS
	verified := c.client.TLS() != "" && (want == sched.TLSVerifyHost || want == sched.TLSDANE)
	switch {
	case s.Auth.Security == policy.AuthVerified && !verified:
		return untold("the certificate does not have to prove the host's name here")
	case s.Auth.Security == policy.AuthEncrypted && c.client.TLS() == "":
		return untold("the connection is not encrypted")
	}
	rep, err := c.client.Auth(s.Auth.User, s.Auth.Password.Value)
	return c.opening(rep, err)
}

func untold(why string) *ending {
	return &ending{class: sched.ConnectHost, quit: true, reply: mail.Reply{
		Enhanced: "4.7.0", Stage: mail.StageAuth, Text: "the login is not told: " + why + " (auth_security)",
	}}
}
