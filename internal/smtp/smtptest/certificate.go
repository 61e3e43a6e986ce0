package smtptest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"sync"
	"time"
)

// HostName is the name on the certificates of receivers; any other NAME.zoo.test will do, too.
const HostName = "mx.zoo.test"

// certificateKinds: what may follow "tls", and whether a careful client turns away from it.
var certificateKinds = map[string]bool{"": false, "expired": true, "other-name": true, "stranger": true, "old": true}

// authority signs the certificates of receivers: one for the life of the process.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
}

var trusted = sync.OnceValues(func() (*authority, error) { return newAuthority("zoo") })

func newAuthority(name string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	a := &authority{key: key, cert: cert, pool: x509.NewCertPool()}
	a.pool.AddCert(cert)
	return a, nil
}

// Roots holds the authority that "tls" and "tls old" have their certificates from.
func Roots() (*x509.CertPool, error) {
	a, err := trusted()
	if err != nil {
		return nil, err
	}
	return a.pool, nil
}

// RootsPEM is the same authority for a program that reads its roots from a file.
func RootsPEM() ([]byte, error) {
	a, err := trusted()
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}), nil
}

// serverConfig makes what "tls KIND" shows.
func serverConfig(kind string) (*tls.Config, error) {
	a, err := trusted()
	if kind == "stranger" && err == nil {
		a, err = newAuthority("stranger")
	}
	if err != nil {
		return nil, err
	}
	names, until := []string{HostName, "*.zoo.test"}, time.Now().Add(time.Hour)
	switch kind {
	case "expired":
		until = time.Now().Add(-time.Minute)
	case "other-name":
		names = []string{"mx.elsewhere.test"}
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: until,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &a.key.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: a.key}}}
	if kind == "old" {
		config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS10
	}
	return config, nil
}
