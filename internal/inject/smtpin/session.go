package smtpin

import (
	"github.com/sluice-mta/sluice/internal/inject"
	"github.com/sluice-mta/sluice/internal/mail"
	"github.com/sluice-mta/sluice/internal/policy"
	"github.com/sluice-mta/sluice/internal/smtp"
)

var (
	replyLoginFirst = mail.Reply{Code: 530, Enhanced: "5.7.0", Text: "login required"}
	replyLoginGone  = mail.Reply{Code: 421, Enhanced: "4.7.0", Text: "the login is no longer valid"}
)

// session is one connection. It implements smtp.Session and smtp.Authenticator.
type session struct {
	front   *Front
	conn    *smtp.ServerConn
	message *inject.Message // the transaction's, nil outside
}

// Auth implements smtp.Authenticator.
func (s *session) Auth(user, password string) mail.Reply {
	_, r := s.front.in.Login(s.conn.Remote().Addr(), user, password)
	return r // the connection remembers the login, and forgets it at STARTTLS
}

// Mail implements smtp.Session. The rules are looked up anew for each message, so
// that a reload reaches long sessions too.
func (s *session) Mail(from mail.Address, p *smtp.MailParams) mail.Reply {
	origin, r := s.origin()
	if r.Code != 0 {
		return s.front.in.Refuse(r)
	}
	start := inject.Start{
		Sender: from, Size: p.Size, EightBit: p.EightBit, SMTPUTF8: p.SMTPUTF8, Ret: p.Ret, EnvID: p.EnvID,
		RequireTLS: p.RequireTLS, Release: p.Release,
	}
	if p.By.Given {
		start.By = &inject.DeliverBy{In: p.By.In, Notify: p.By.Notify, Trace: p.By.Trace}
	}
	s.message, r = s.front.in.Begin(origin, start)
	return r
}

func (s *session) origin() (*inject.Origin, mail.Reply) {
	c, l := s.conn, s.front.listener.Load()
	var user *policy.User
	if login := c.Login(); login != "" {
		if user = s.front.in.Settings().Users[login]; user == nil {
			return nil, replyLoginGone
		}
	}
	if user == nil && l.Auth == policy.AuthRequired {
		return nil, replyLoginFirst
	}
	return &inject.Origin{
		Listener: l,
		User:     user,
		Protocol: c.Protocol(),
		Source:   mail.Source{Protocol: "smtp", Client: c.Remote(), Helo: c.Helo(), Login: c.Login(), Listener: l.Address},
	}, mail.Reply{}
}

// Rcpt implements smtp.Session.
func (s *session) Rcpt(to mail.Address, p *smtp.RcptParams) mail.Reply {
	return s.message.AddRecipient(to, p.Notify, p.ORcpt)
}

// BeforeData implements smtp.Session.
func (s *session) BeforeData() mail.Reply { return s.front.in.Refuse(s.front.in.Pressure()) }

// Data implements smtp.Session.
func (s *session) Data(content *smtp.Content) mail.Reply {
	m := s.message
	s.message = nil
	defer m.Abort()
	_, err := content.WriteTo(m)
	if err != nil && m.Err() == nil {
		return mail.Reply{Code: 451, Enhanced: "4.3.0", Text: "message not received"} // the server has a better one
	}
	return m.Accept()
}

// Reset implements smtp.Session.
func (s *session) Reset() {
	if s.message != nil {
		s.message.Abort()
		s.message = nil
	}
}

// Close implements smtp.Session.
func (s *session) Close() { s.Reset() }
