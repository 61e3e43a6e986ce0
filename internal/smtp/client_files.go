package smtp

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// maxTLSFile bounds a file of certificates, in octets.
const maxTLSFile = 1 << 20

// tlsFiles reads certificate files, again when they change: a configuration names a few.
// Safe for concurrent use.
type tlsFiles struct {
	mu    sync.Mutex
	pools map[string]*tlsFile[*x509.CertPool]
	pairs map[[2]string]*tlsFile[*tls.Certificate]
}

// tlsFile is what was read, and when what it was read from was changed.
type tlsFile[T any] struct {
	changed [2]time.Time
	value   T
}

func (f *tlsFiles) pool(path string) (*x509.CertPool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pools == nil {
		f.pools = map[string]*tlsFile[*x509.CertPool]{}
	}
	return current(f.pools, path, [2]string{path, path}, func() (*x509.CertPool, error) {
		pem, err := readTLSFile(path)
		if err != nil {
			return nil, fmt.Errorf("tls_ca: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls_ca: %s has no certificate in PEM", path)
		}
		return pool, nil
	})
}

func (f *tlsFiles) pair(cert, key string) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pairs == nil {
		f.pairs = map[[2]string]*tlsFile[*tls.Certificate]{}
	}
	names := [2]string{cert, key}
	return current(f.pairs, names, names, func() (*tls.Certificate, error) {
		c, err := readTLSFile(cert)
		if err != nil {
			return nil, fmt.Errorf("tls_certificate: %w", err)
		}
		k, err := readTLSFile(key)
		if err != nil {
			return nil, fmt.Errorf("tls_key: %w", err)
		}
		pair, err := tls.X509KeyPair(c, k)
		if err != nil {
			return nil, fmt.Errorf("tls_certificate %s: %w", cert, err)
		}
		return &pair, nil
	})
}

// current returns what the files hold now. While they cannot be read, or hold nothing of
// use, what was read last goes on being used: a renewal may be half done.
func current[K comparable, T any](known map[K]*tlsFile[T], key K, files [2]string, read func() (T, error)) (T, error) {
	have := known[key]
	changed, statErr := changedAt(files)
	if have != nil && (statErr != nil || have.changed == changed) {
		return have.value, nil
	}
	value, err := read()
	switch {
	case err == nil:
		known[key] = &tlsFile[T]{changed, value}
	case have != nil:
		return have.value, nil
	}
	return value, err
}

func changedAt(files [2]string) (at [2]time.Time, err error) {
	for i, path := range files {
		info, err := os.Stat(path)
		if err != nil {
			return at, err
		}
		at[i] = info.ModTime()
	}
	return at, nil
}

func readTLSFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxTLSFile+1))
	if err == nil && len(b) > maxTLSFile {
		err = fmt.Errorf("%s is larger than %d octets", path, maxTLSFile)
	}
	return b, err
}
