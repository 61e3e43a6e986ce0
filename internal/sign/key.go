package sign

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// maxKeyFile bounds a key file, in octets.
const maxKeyFile = 64 << 10

// minRSA is the least length of an RSA key, in bits (RFC 8301 §3.2).
const minRSA = 1024

// lookAgain is how long a file is taken to be as it was.
const lookAgain = 5 * time.Second

// maxKeys bounds the keys kept; %d makes a file name of what senders write.
const maxKeys = 4096

// ErrNoKey says that there is no file: mail of such a domain goes unsigned.
var ErrNoKey = errors.New("no DKIM key")

// key is a private key with the name of its algorithm in a=.
type key struct {
	crypto.Signer
	algorithm string
	opts      crypto.SignerOpts
}

// Keys reads key files and keeps them. A file that has changed is read again within
// seconds; nothing needs a restart. Safe for concurrent use.
type Keys struct {
	now   func() time.Time
	mu    sync.Mutex
	files map[string]*keyFile
}

type keyFile struct {
	key     *key
	err     error
	checked time.Time
	changed time.Time // the file's own time
	size    int64
}

// NewKeys returns an empty store; now is the clock, nil: time.Now.
func NewKeys(now func() time.Time) *Keys {
	if now == nil {
		now = time.Now
	}
	return &Keys{now: now, files: map[string]*keyFile{}}
}

// get returns the key of a file. ErrNoKey when there is no such file. A file that turned
// unreadable after a good one was read is an error: an old key may be one that was
// withdrawn.
func (k *Keys) get(path string) (*key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	f := k.files[path]
	if f != nil && now.Sub(f.checked) < lookAgain && now.Sub(f.checked) >= 0 {
		return f.key, f.err
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		f = &keyFile{err: fmt.Errorf("%w: no file %s", ErrNoKey, path)}
	case err != nil:
		f = &keyFile{err: fmt.Errorf("read DKIM key: %w", err)}
	case f == nil || f.err != nil || !info.ModTime().Equal(f.changed) || info.Size() != f.size:
		f = &keyFile{changed: info.ModTime(), size: info.Size()}
		f.key, f.err = readKey(path, info.Size())
	}
	f.checked = now
	if len(k.files) >= maxKeys && k.files[path] == nil {
		clear(k.files)
	}
	k.files[path] = f
	return f.key, f.err
}

func readKey(path string, size int64) (*key, error) {
	if size > maxKeyFile {
		return nil, fmt.Errorf("read DKIM key %s: %d octets; a key has at most %d", path, size, maxKeyFile)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read DKIM key: %w", err)
	}
	k, err := parseKey(text)
	if err != nil {
		return nil, fmt.Errorf("read DKIM key %s: %w", path, err)
	}
	return k, nil
}

// CheckKey reports what is wrong with a key file, for `config check`.
func CheckKey(path string) error {
	_, err := NewKeys(nil).get(path)
	return err
}

// parseKey reads a PEM key: PKCS #1 or PKCS #8, RSA or Ed25519.
func parseKey(text []byte) (*key, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("not a PEM file (-----BEGIN PRIVATE KEY-----)")
	}
	var (
		parsed any
		err    error
	)
	switch block.Type {
	case "RSA PRIVATE KEY":
		parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "PRIVATE KEY":
		parsed, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("it holds a %q; wanted is a PRIVATE KEY without a pass phrase", block.Type)
	}
	if err != nil {
		return nil, err
	}
	switch p := parsed.(type) {
	case *rsa.PrivateKey:
		if p.N.BitLen() < minRSA {
			return nil, fmt.Errorf("an RSA key of %d bits; receivers want at least %d, better 2048", p.N.BitLen(), minRSA)
		}
		p.Precompute()
		return &key{p, "rsa-sha256", crypto.SHA256}, nil
	case ed25519.PrivateKey:
		// RFC 8463 §3: Ed25519 over the SHA-256 hash.
		return &key{p, "ed25519-sha256", crypto.Hash(0)}, nil
	}
	return nil, fmt.Errorf("a key of type %T; RSA and Ed25519 can sign", parsed)
}

// Path is the file that a pattern names: %d is the signing domain, %s the selector, %% a
// percent sign. Neither can lead out of the pattern's directory.
func Path(pattern, domain, selector string) string {
	return strings.NewReplacer("%%", "%", "%d", safe(domain), "%s", safe(selector)).Replace(pattern)
}

// safe makes a name from outside one part of a path.
func safe(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == '/' || r == '\\' || r < ' ' || r == 0x7f {
			return '_'
		}
		return r
	}, s)
	if strings.HasPrefix(s, ".") {
		return "_" + s
	}
	return s
}
