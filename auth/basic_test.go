package auth

import (
	"encoding/base64"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/bcrypt"
)

// user is a line of an htpasswd file. cost is bcrypt's.
func user(t testing.TB, name, password string, cost int) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), cost)
	if err != nil {
		t.Fatal(err)
	}
	return name + ":" + string(hash) + "\n"
}

func basicHeader(name, password string) []string {
	return []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))}
}

// basicAt is Basic with a clock and a log that the test holds.
func basicAt(t *testing.T, path string) (*basic, *clock, *logged) {
	t.Helper()
	a, err := Basic(path)
	if err != nil {
		t.Fatal(err)
	}
	b, now, log := a.(*basic), newClock(), &logged{}
	b.file.now, b.log = now.Now, slog.New(slog.NewTextHandler(log, nil))
	b.file.next.Store(0)
	return b, now, log
}

func TestAUserOfTheFileAdministers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "htpasswd")
	// The three marks of bcrypt that tools write.
	alice, bob, carol := user(t, "alice", "a: pass", 4), user(t, "bob", "bb", 4), user(t, "carol", "cc", 4)
	writeFile(t, path, "# users\n\n"+alice+strings.Replace(bob, "$2a$", "$2y$", 1)+strings.Replace(carol, "$2a$", "$2b$", 1))
	b, _, _ := basicAt(t, path)
	for name, password := range map[string]string{"alice": "a: pass", "bob": "bb", "carol": "cc"} {
		for range 2 { // worked out, and remembered
			got, err := b.Authenticate(t.Context(), headers(basicHeader(name, password)...))
			if err != nil {
				t.Fatal(err)
			}
			want := Identity{UserID: name, ProjectID: "default", Roles: []string{"admin", "manager", "member", "reader"}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	}
	for what, h := range map[string][]string{
		"nothing":          nil,
		"wrong password":   basicHeader("alice", "a: passs"),
		"another's":        basicHeader("alice", "bb"),
		"unknown user":     basicHeader("mallory", "a: pass"),
		"empty password":   basicHeader("alice", ""),
		"no colon":         {"Authorization", "Basic YWxpY2U="},
		"no base64":        {"Authorization", "Basic ***"},
		"another scheme":   {"Authorization", "Bearer YWxpY2U6YTogcGFzcw=="},
		"headers":          {"X-Roles", "admin", "X-User-Id", "alice"},
		"enormous":         basicHeader("alice", strings.Repeat("x", 2000)),
		"the hash itself":  basicHeader("alice", strings.TrimSpace(strings.TrimPrefix(alice, "alice:"))),
		"a comment's name": basicHeader("# users", ""),
	} {
		_, err := b.Authenticate(t.Context(), headers(h...))
		var refused *Unauthorized
		if !errors.As(err, &refused) || !strings.HasPrefix(refused.Challenge, `Basic realm="`) {
			t.Errorf("%s: %v, want a refusal with a challenge", what, err)
			continue
		}
		if strings.Contains(err.Error(), "pass\"") || strings.Contains(err.Error(), "$2") {
			t.Errorf("%s: the reason holds a secret: %v", what, err)
		}
	}
}

func TestAChangedUsersFileIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "htpasswd")
	writeFile(t, path, user(t, "alice", "old", 4))
	b, now, log := basicAt(t, path)
	may := func(password string) bool {
		_, err := b.Authenticate(t.Context(), headers(basicHeader("alice", password)...))
		return err == nil
	}
	if !may("old") || may("new") {
		t.Fatal("the file is not in force")
	}
	writeFile(t, path, user(t, "alice", "new", 4))
	now.pass(lookAgain)
	if may("old") {
		t.Error("the old password is remembered although the file has another")
	}
	if !may("new") {
		t.Error("the changed file was not read")
	}
	writeFile(t, path, "alice:{SHA}secret-hash\n")
	for range 3 {
		now.pass(lookAgain)
		if !may("new") {
			t.Error("a broken file took the users away")
		}
	}
	if n := strings.Count(log.String(), "cannot be used"); n != 1 || strings.Contains(log.String(), "secret-hash") {
		t.Errorf("the log says %d times that the file is broken: %s", n, log.String())
	}
}

func TestAUsersFileThatCannotBeUsedIsRefusedAtStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "htpasswd")
	if _, err := Basic(path); err == nil || !strings.Contains(err.Error(), "reading the users: ") {
		t.Errorf("a missing file: %v", err)
	}
	line := user(t, "alice", "x", 4)
	for text, want := range map[string]string{
		"":                              "there is no user in it",
		"# nobody\n":                    "there is no user in it",
		"alice\n":                       "line 1 is not user:hash",
		":" + line[6:]:                  "line 1 is not user:hash",
		line + line:                     `line 2: user "alice" is there twice`,
		"alice:$apr1$ab$cdef\n":         `line 1: the hash of user "alice" is not bcrypt's: make it with htpasswd -B`,
		"alice:" + line[6:30]:           "is not bcrypt's",
		strings.TrimSpace(line) + "x\n": "is not bcrypt's",
	} {
		writeFile(t, path, text)
		_, err := Basic(path)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// The answer's time must not tell which names exist: bcrypt is worked out for an
// unknown user as well, with the slowest hash there is. A right password that is
// remembered is not worked out again.
func TestAnUnknownUserTakesTheTimeOfAKnownOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "htpasswd")
	writeFile(t, path, user(t, "bob", "x", 4)+user(t, "alice", "right", 5)+user(t, "carol", "x", 4))
	b, now, _ := basicAt(t, path)
	var costs []int
	b.compare = func(hash, password []byte) error {
		cost, _ := bcrypt.Cost(hash)
		costs = append(costs, cost)
		return bcrypt.CompareHashAndPassword(hash, password)
	}
	ask := func(name, password string, want ...int) {
		t.Helper()
		costs = nil
		b.Authenticate(t.Context(), headers(basicHeader(name, password)...))
		if !slices.Equal(costs, want) {
			t.Errorf("%s: bcrypt was worked out with the costs %v, want %v", name, costs, want)
		}
	}
	ask("alice", "wrong", 5)
	ask("mallory", "wrong", 5)
	ask("mallory", "right", 5) // the decoy's own password does not let in
	if _, err := b.Authenticate(t.Context(), headers(basicHeader("mallory", "right")...)); err == nil {
		t.Error("an unknown user got in with another's password")
	}
	ask("alice", "right", 5)
	ask("alice", "right")
	ask("mallory", "right", 5)
	now.pass(passwordTime)
	ask("alice", "right", 5)
}
