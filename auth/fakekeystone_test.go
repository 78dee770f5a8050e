package auth

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// fakeKeystone speaks as much of the Identity API v3 as neutrino asks for: a login
// by password, and questions about tokens by who may ask.
type fakeKeystone struct {
	*httptest.Server
	clock *clock

	mu       sync.Mutex
	tokens   map[string]*fakeToken
	logins   int
	asked    map[string]int // questions by token
	life     time.Duration  // of our own tokens
	password string
	trouble  func(w http.ResponseWriter, r *http.Request) bool // answers instead
	catalog  []any
}

type fakeToken struct {
	expires time.Time
	token   map[string]any
	mayAsk  bool
}

func newFakeKeystone(t *testing.T) *fakeKeystone {
	f := &fakeKeystone{clock: newClock(), tokens: map[string]*fakeToken{}, asked: map[string]int{}, life: time.Hour, password: "service-secret"}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.Close)
	return f
}

// issue makes a token. what is merged into what Keystone says about it.
func (f *fakeKeystone) issue(name string, life time.Duration, what map[string]any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	token := map[string]any{"user": map[string]any{"id": "user-of-" + name}, "methods": []string{"password"}}
	maps.Copy(token, what)
	f.tokens[name] = &fakeToken{expires: f.clock.Now().Add(life), token: token}
}

// ofProject is a token of a project with roles.
func ofProject(project string, roles ...string) map[string]any {
	return map[string]any{"project": map[string]any{"id": project}, "roles": rolesOf(roles...)}
}

func rolesOf(names ...string) []any {
	var out []any
	for _, n := range names {
		out = append(out, map[string]any{"id": "role-" + n, "name": n})
	}
	return out
}

func (f *fakeKeystone) revoke(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.tokens, name)
}

// revokeOurs ends every token that was got by password.
func (f *fakeKeystone) revokeOurs() {
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(f.tokens, func(_ string, t *fakeToken) bool { return t.mayAsk })
}

func (f *fakeKeystone) inTrouble(answer func(w http.ResponseWriter, r *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.trouble = answer
}

func (f *fakeKeystone) counts(token string) (logins, asked int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.logins, f.asked[token]
}

func (f *fakeKeystone) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	trouble := f.trouble
	f.mu.Unlock()
	if trouble != nil && trouble(w, r) {
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "POST /v3/auth/tokens":
		f.login(w, r)
	case "GET /v3/auth/tokens":
		f.question(w, r)
	default:
		http.Error(w, "no such page", http.StatusBadRequest)
	}
}

func (f *fakeKeystone) login(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Auth struct {
			Identity struct {
				Password struct {
					User struct {
						Name, Password string
						Domain         struct{ Name string }
					}
				}
			}
			Scope struct {
				Project struct {
					Name   string
					Domain struct{ Name string }
				}
			}
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	err := json.NewDecoder(r.Body).Decode(&body)
	user, project := body.Auth.Identity.Password.User, body.Auth.Scope.Project
	if err != nil || user.Name != "neutron" || user.Password != f.password || user.Domain.Name != "Default" ||
		project.Name != "service" || project.Domain.Name != "Default" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	f.logins++
	name := fmt.Sprint("our-own-", f.logins)
	f.tokens[name] = &fakeToken{expires: f.clock.Now().Add(f.life), token: map[string]any{"catalog": f.catalog}, mayAsk: true}
	w.Header().Set("X-Subject-Token", name)
	f.describe(w, http.StatusCreated, f.tokens[name])
}

func (f *fakeKeystone) question(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.clock.Now()
	ours := f.tokens[r.Header.Get("X-Auth-Token")]
	if ours == nil || !ours.mayAsk || !now.Before(ours.expires) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	name := r.Header.Get("X-Subject-Token")
	f.asked[name]++
	t := f.tokens[name]
	late := t != nil && !now.Before(t.expires)
	if t == nil || late && !r.URL.Query().Has("allow_expired") {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("X-Subject-Token", name)
	f.describe(w, http.StatusOK, t)
}

func (f *fakeKeystone) describe(w http.ResponseWriter, status int, t *fakeToken) {
	body := maps.Clone(t.token)
	body["expires_at"] = t.expires.UTC().Format("2006-01-02T15:04:05.000000Z")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"token": body})
}
