package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/sync/singleflight"
)

const (
	basicChallenge = `Basic realm="Networking API", charset="UTF-8"` // RFC 7617, section 2.1
	// basicProject is whose objects they are that users of Basic make.
	basicProject = "default"
	// A password that was right is not worked out again for this long, because
	// bcrypt takes some 50 ms by intention: while the file has the same hash, it is
	// right. For provedTime one that is worked out again waits for no stranger's.
	passwordTime  = 10 * time.Minute
	provedTime    = 24 * time.Hour
	passwordsKept = 1024
	maxPassword   = 1024 // bytes; bcrypt itself looks at 72
)

// Basic asks for a user and password of an htpasswd file with bcrypt
// (htpasswd -B), which is read again when it changes. As in other OpenStack
// services that run alone (Ironic's http_basic), who logs in administers: project
// "default", role admin and all that it holds. Use it over TLS or loopback only.
//
// Wrong passwords and unknown users take the same time. While a changed file is
// broken, the earlier users hold, and the log says once why.
func Basic(file string) (Authenticator, error) {
	b := &basic{
		file:      watched{paths: []string{file}, now: time.Now},
		known:     newMemory[struct{}](passwordsKept),
		proved:    newMemory[struct{}](passwordsKept),
		strangers: newChecks(max(1, runtime.GOMAXPROCS(0)/2)), again: newChecks(1),
		compare: bcrypt.CompareHashAndPassword,
		log:     slog.Default(),
	}
	rand.Read(b.salt[:]) // never fails: crypto/rand ends the program instead
	if err := b.file.first(b.load); err != nil {
		return nil, err
	}
	return b, nil
}

type basic struct {
	file  watched
	users atomic.Pointer[users]
	salt  [32]byte
	known *memory[struct{}] // right passwords, by salted hash
	// proved are those that were right some time, with the same hash.
	proved *memory[struct{}]
	// strangers are the checks of passwords that were never right, again those of
	// others. Half of the processors are left to who is known.
	strangers, again *checks
	flights          singleflight.Group
	// compare is bcrypt's.
	compare func(hash, password []byte) error
	log     *slog.Logger
}

// users are the hashes of the passwords. decoy is the slowest of them, which an
// unknown user is compared with.
type users struct {
	hashes map[string]string
	decoy  string
}

func (b *basic) load() error {
	text, err := os.ReadFile(b.file.paths[0])
	if err != nil {
		return fmt.Errorf("reading the users: %w", err)
	}
	u, err := parseUsers(string(text))
	if err != nil {
		return fmt.Errorf("users file %s: %w", b.file.paths[0], err)
	}
	b.users.Store(u)
	return nil
}

// parseUsers reads lines of user:hash. An error never holds a hash.
func parseUsers(text string) (*users, error) {
	u := &users{hashes: map[string]string{}}
	slowest := 0
	number := 0
	for line := range strings.SplitSeq(text, "\n") {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, hash, ok := strings.Cut(line, ":")
		if !ok || name == "" {
			return nil, fmt.Errorf("line %d is not user:hash", number)
		}
		if _, twice := u.hashes[name]; twice {
			return nil, fmt.Errorf("line %d: user %q is there twice: keep one", number, name)
		}
		cost, err := bcrypt.Cost([]byte(hash))
		if err != nil || len(hash) != 60 {
			return nil, fmt.Errorf("line %d: the hash of user %q is not bcrypt's: make it with htpasswd -B", number, name)
		}
		u.hashes[name] = hash
		if cost > slowest {
			u.decoy, slowest = hash, cost
		}
	}
	if len(u.hashes) == 0 {
		return nil, errors.New("there is no user in it: add one with htpasswd -B")
	}
	return u, nil
}

// Authenticate checks the header Authorization.
func (b *basic) Authenticate(ctx context.Context, h http.Header) (Identity, error) {
	if err := b.file.again(b.load); err != nil {
		b.log.Error("the users file cannot be used; the earlier users hold", "error", err)
	}
	name, password, err := basicCredentials(h.Get("Authorization"))
	if err != nil {
		return Identity{}, err
	}
	u := b.users.Load()
	hash, exists := u.hashes[name]
	if !exists {
		hash = u.decoy
	}
	key := b.key(name, password, hash)
	if _, ok := b.known.get(key, b.file.now()); !ok {
		err := b.check(ctx, key, func() error {
			if err := b.compare([]byte(hash), []byte(password)); err != nil || !exists {
				return &Unauthorized{basicChallenge, fmt.Sprintf("no user %q with that password", name)}
			}
			b.known.put(key, struct{}{}, b.file.now().Add(passwordTime))
			b.proved.put(key, struct{}{}, b.file.now().Add(provedTime))
			return nil
		})
		if err != nil {
			return Identity{}, err
		}
	}
	return Identity{UserID: name, ProjectID: basicProject, Roles: Implied([]string{"admin"})}, nil
}

// check works out a password when its turn has come. Requests with one password that
// come together work it out once.
func (b *basic) check(ctx context.Context, key [32]byte, work func() error) error {
	lane, source := b.strangers, sourceOf(ctx)
	if _, ok := b.proved.get(key, b.file.now()); ok {
		lane = b.again
	}
	asked := b.flights.DoChan(string(key[:]), func() (any, error) { return nil, lane.run(source, work) })
	select {
	case <-ctx.Done():
		return fmt.Errorf("checking a password: %w", context.Cause(ctx))
	case answer := <-asked:
		return answer.Err
	}
}

// key is a salted hash of what was proved: it is worth nothing outside this
// process, and nothing once the file has another hash for the user.
func (b *basic) key(name, password, hash string) [32]byte {
	mac := hmac.New(sha256.New, b.salt[:])
	for _, s := range []string{name, hash, password} {
		fmt.Fprintf(mac, "%d:%s", len(s), s)
	}
	return [32]byte(mac.Sum(nil))
}

func basicCredentials(header string) (name, password string, err error) {
	refuse := func(reason string) (string, string, error) {
		return "", "", &Unauthorized{basicChallenge, reason}
	}
	if header == "" {
		return refuse("no header Authorization")
	}
	scheme, encoded, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return refuse("the scheme of Authorization is not Basic")
	}
	plain, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return refuse("the credentials are not in base64")
	}
	name, password, ok := strings.Cut(string(plain), ":")
	if !ok || len(plain) > maxPassword {
		return refuse("the credentials are not user:password")
	}
	return name, password, nil
}
