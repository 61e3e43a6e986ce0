package tlspolicy

import "github.com/sluice-mta/sluice/internal/mail"

// PolicyType is the kind of policy that was applied (RFC 8460 §4.4).
type PolicyType string

// The kinds.
const (
	PolicyTLSA PolicyType = "tlsa"
	PolicySTS  PolicyType = "sts"
	PolicyNone PolicyType = "no-policy-found"
)

// Result is a result type of a failure (RFC 8460 §4.3); empty: success.
type Result string

// The results.
const (
	ResultNoSTARTTLS    Result = "starttls-not-supported"
	ResultNameMismatch  Result = "certificate-host-mismatch"
	ResultExpired       Result = "certificate-expired"
	ResultUntrusted     Result = "certificate-not-trusted"
	ResultValidation    Result = "validation-failure"
	ResultTLSAInvalid   Result = "tlsa-invalid"
	ResultDNSSECInvalid Result = "dnssec-invalid"
	ResultSTSFetch      Result = "sts-policy-fetch-error"
	ResultSTSInvalid    Result = "sts-policy-invalid"
	ResultSTSWebPKI     Result = "sts-webpki-invalid"
)

// Applied is what was applied to a host of a domain.
type Applied struct {
	Domain  string
	Host    string
	Type    PolicyType
	STS     *cached     // for PolicySTS; nil: it could not be had
	Testing bool        // the policy is not enforced
	TLSA    []mail.TLSA // for PolicyTLSA
	Failure Result      // what was wrong with the policy itself; empty: nothing
	Reason  string      // more of it
}
