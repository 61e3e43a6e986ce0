package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// maxSecret bounds a secret in octets.
const maxSecret = 4096

// errNoCredentials says that no service manager has given credentials.
var errNoCredentials = errors.New("$CREDENTIALS_DIRECTORY is not set: credentials are given by the service manager (LoadCredential=)")

// secret replaces file:PATH, env:NAME and credential:NAME with what they stand for;
// other text is the secret itself.
func (r *run) secret(text string) (string, error) {
	if path, ok := strings.CutPrefix(text, "file:"); ok {
		return r.secretFile(text, r.path(path))
	}
	if name, ok := strings.CutPrefix(text, "env:"); ok {
		v, found := r.getenv(name)
		if !found || v == "" {
			return "", fmt.Errorf("%s: the environment variable is not set", text)
		}
		return v, nil
	}
	if name, ok := strings.CutPrefix(text, "credential:"); ok {
		if name == "" || name != filepath.Base(name) || name == ".." || name == "." {
			return "", fmt.Errorf("%s: the name of a credential is a plain file name", text)
		}
		dir, found := r.getenv("CREDENTIALS_DIRECTORY")
		if !found || dir == "" {
			return "", fmt.Errorf("%s: %w", text, errNoCredentials)
		}
		return r.secretFile(text, filepath.Join(dir, name))
	}
	return text, nil
}

// secretFile reads a secret: the first line of a file, without its line end.
func (r *run) secretFile(text, path string) (string, error) {
	data, err := r.readFile(path)
	if err != nil {
		return "", fmt.Errorf("%s: read %s: %w", text, path, reason(err))
	}
	line, _, _ := strings.Cut(string(data), "\n")
	line = strings.TrimSuffix(line, "\r")
	if line == "" || len(line) > maxSecret {
		return "", fmt.Errorf("%s: the first line of %s must hold the secret, of at most %d octets", text, path, maxSecret)
	}
	return line, nil
}

func (r *run) getenv(name string) (string, bool) {
	if r.Getenv != nil {
		return r.Getenv(name)
	}
	return os.LookupEnv(name)
}

// forgive reports whether a missing secret is no error in a mere check.
func (r *run) forgive(err error) bool { return r.Check && errors.Is(err, errNoCredentials) }

// checkHash says what is wrong with a secret that looks like a password hash: a wrong
// hash would let nobody in, and say so to nobody.
func checkHash(s string) error {
	switch {
	case strings.HasPrefix(s, "$argon2id$"):
		if f := strings.Split(s, "$"); len(f) != 6 || f[2] != "v=19" || f[4] == "" || f[5] == "" {
			return errors.New("not an argon2 hash: want $argon2id$v=19$m=M,t=T,p=P$SALT$HASH")
		}
	case strings.HasPrefix(s, "$argon2"):
		return errors.New("of the argon2 hashes only argon2id is taken")
	case strings.HasPrefix(s, "$2a$"), strings.HasPrefix(s, "$2b$"), strings.HasPrefix(s, "$2y$"):
		if _, err := bcrypt.Cost([]byte(s)); err != nil || len(s) != 60 {
			return errors.New("not a bcrypt hash: it has 60 characters, $2b$COST$SALT-AND-HASH")
		}
	}
	return nil
}
