package auth

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"neutrino"
)

// believing is an Authenticator that asks the fake, with the fake's clock.
func believing(t *testing.T, f *fakeKeystone, change func(*KeystoneOptions)) *keystone {
	t.Helper()
	o := KeystoneOptions{AuthURL: f.URL, Username: "neutron", Password: "service-secret", ProjectName: "service",
		WWWAuthenticateURI: "http://cloud.example:5000/v3", Retries: -1}
	if change != nil {
		change(&o)
	}
	k, err := newKeystone(o, f.clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.client.http.CloseIdleConnections)
	return k
}

// asks is one request with a token.
func asks(t *testing.T, k *keystone, token string, more ...string) (Identity, error) {
	t.Helper()
	return k.Authenticate(t.Context(), headers(append([]string{"X-Auth-Token", token}, more...)...))
}

func wantRefused(t *testing.T, what string, err error) {
	t.Helper()
	var refused *Unauthorized
	if !errors.As(err, &refused) || refused.Challenge != `Keystone uri="http://cloud.example:5000/v3"` {
		t.Errorf("%s: %v, want 401 with the challenge of Keystone", what, err)
	}
}

func wantUnavailable(t *testing.T, what string, err error, cause string) {
	t.Helper()
	e := neutrino.AsError(err)
	if err == nil || e.Code != neutrino.Unavailable || e.Type != "ServiceUnavailable" || !strings.Contains(e.Message, "Keystone") {
		t.Errorf("%s: %v, want Unavailable of the type ServiceUnavailable that names Keystone", what, err)
		return
	}
	if !strings.Contains(err.Error(), cause) || cause != "" && strings.Contains(e.Message, cause) {
		t.Errorf("%s: the cause %q is for the log: log %q, client %q", what, cause, err, e.Message)
	}
}

func TestATokenSaysWhoAsks(t *testing.T) {
	f := newFakeKeystone(t)
	k := believing(t, f, nil)
	f.issue("of-project", time.Hour, ofProject("blue", "Member", "reader"))
	f.issue("of-system", time.Hour, map[string]any{"system": map[string]any{"all": true}, "roles": rolesOf("admin")})
	f.issue("of-domain", time.Hour, map[string]any{"domain": map[string]any{"id": "d"}, "roles": rolesOf("manager")})
	f.issue("of-nothing", time.Hour, map[string]any{"roles": rolesOf("admin")})
	f.issue("of-service", time.Hour, ofProject("service", "service", "ADMIN"))
	for _, c := range []struct {
		headers []string
		want    Identity
	}{
		{[]string{"X-Auth-Token", "of-project"}, Identity{UserID: "user-of-of-project", ProjectID: "blue", Roles: []string{"member", "reader"}}},
		{[]string{"X-Auth-Token", "of-system"}, Identity{UserID: "user-of-of-system", System: true, Roles: []string{"admin"}}},
		{[]string{"X-Auth-Token", "of-domain"}, Identity{UserID: "user-of-of-domain", DomainID: "d", Roles: []string{"manager"}}},
		{[]string{"X-Auth-Token", "of-nothing"}, Identity{UserID: "user-of-of-nothing"}},
		{[]string{"X-Auth-Token", "of-project", "X-Service-Token", "of-service"},
			Identity{UserID: "user-of-of-project", ProjectID: "blue", Roles: []string{"member", "reader"}, ServiceRoles: []string{"service", "admin"}}},
		// What a client says of itself is worth nothing.
		{[]string{"X-Auth-Token", "of-project", "X-Roles", "admin", "X-Project-Id", "red", "X-User-Id", "root", "X-Service-Roles", "service",
			"OpenStack-System-Scope", "all", "X-Domain-Id", "d", "X-Is-Admin-Project", "True"},
			Identity{UserID: "user-of-of-project", ProjectID: "blue", Roles: []string{"member", "reader"}}},
	} {
		got, err := k.Authenticate(t.Context(), headers(c.headers...))
		if err != nil {
			t.Errorf("%v: %v", c.headers, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.headers, diff)
		}
	}
	if logins, _ := f.counts(""); logins != 1 {
		t.Errorf("neutrino logged in %d times", logins)
	}
}

func TestWithoutAValidTokenThereIsNoWayIn(t *testing.T) {
	f := newFakeKeystone(t)
	k := believing(t, f, nil)
	f.issue("old", time.Minute, ofProject("blue", "member"))
	f.issue("good", time.Hour, ofProject("blue", "member"))
	f.clock.pass(time.Minute)
	for what, h := range map[string][]string{
		"no token":              nil,
		"only headers":          {"X-Roles", "admin", "X-Project-Id", "blue"},
		"unknown":               {"X-Auth-Token", "invented"},
		"expired":               {"X-Auth-Token", "old"},
		"a line break":          {"X-Auth-Token", "good\r\nX-Roles: admin"},
		"a blank":               {"X-Auth-Token", "good "},
		"not ASCII":             {"X-Auth-Token", "göod"},
		"enormous":              {"X-Auth-Token", strings.Repeat("x", maxToken+1)},
		"unknown service token": {"X-Auth-Token", "good", "X-Service-Token", "invented"},
		"only a service token":  {"X-Service-Token", "good"},
	} {
		_, err := k.Authenticate(t.Context(), headers(h...))
		wantRefused(t, what, err)
	}
	for range 3 {
		_, err := asks(t, k, "invented")
		wantRefused(t, "unknown", err)
	}
	if _, asked := f.counts("invented"); asked != 1 {
		t.Errorf("Keystone was asked %d times about a token that it does not know", asked)
	}
	f.issue("invented", time.Hour, ofProject("blue", "member"))
	f.clock.pass(refusedTime)
	if _, err := asks(t, k, "invented"); err != nil {
		t.Errorf("a token is refused for ever: %v", err)
	}
}

// Keystone's clock may be behind ours: what it still knows is over for us.
func TestAnAnswerAboutAnExpiredTokenIsNotBelieved(t *testing.T) {
	f := newFakeKeystone(t)
	k := believing(t, f, nil)
	f.inTrouble(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet {
			fmt.Fprintf(w, `{"token": {"user": {"id": "u"}, "project": {"id": "blue"}, "expires_at": %q}}`, f.clock.Now().Format(time.RFC3339))
		}
		return r.Method == http.MethodGet
	})
	for range 2 {
		_, err := asks(t, k, "over")
		wantRefused(t, "a token that ends now", err)
	}
}

func TestATokenIsKeptForAWhileAndNeverPastItsEnd(t *testing.T) {
	f := newFakeKeystone(t)
	k := believing(t, f, nil)
	f.issue("long", 24*time.Hour, ofProject("blue", "member"))
	f.issue("short", 2*time.Minute, ofProject("blue", "member"))
	for range 10 {
		for _, token := range []string{"long", "short"} {
			if _, err := asks(t, k, token); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, asked := f.counts("long"); asked != 1 {
		t.Errorf("Keystone was asked %d times within the cache time", asked)
	}
	f.clock.pass(2 * time.Minute)
	_, err := asks(t, k, "short")
	wantRefused(t, "a token past its end", err)
	f.revoke("long")
	if _, err := asks(t, k, "long"); err != nil {
		t.Errorf("a kept token was asked about again: %v", err)
	}
	f.clock.pass(maxTokenCacheTime - 2*time.Minute)
	_, err = asks(t, k, "long")
	wantRefused(t, "a revoked token after the cache time", err)
}

func TestTheCacheTimeIsAnOption(t *testing.T) {
	f := newFakeKeystone(t)
	f.issue("good", time.Hour, ofProject("blue", "member"))
	for _, c := range []struct {
		time time.Duration
		want int
	}{{10 * time.Second, 2}, {-1, 4}} {
		k := believing(t, f, func(o *KeystoneOptions) { o.TokenCacheTime = c.time })
		_, before := f.counts("good")
		for i := range 4 {
			if _, err := asks(t, k, "good"); err != nil {
				t.Fatal(err)
			}
			if i == 1 {
				f.clock.pass(10 * time.Second)
			}
		}
		if _, after := f.counts("good"); after-before != c.want {
			t.Errorf("token_cache_time %v: Keystone was asked %d times, want %d", c.time, after-before, c.want)
		}
	}
}

func TestRequestsThatComeTogetherAskOnce(t *testing.T) {
	f := newFakeKeystone(t)
	k := believing(t, f, nil)
	f.issue("good", time.Hour, ofProject("blue", "member"))
	release := make(chan struct{})
	var arrived atomic.Int32
	f.inTrouble(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet {
			arrived.Add(1)
			<-release
		}
		return false
	})
	// The first one goes away before the answer; the others must not suffer.
	first, leave := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := k.Authenticate(first, headers("X-Auth-Token", "good"))
		gone <- err
	}()
	eventually(t, "Keystone is asked", func() bool { return arrived.Load() == 1 })
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if who, err := k.Authenticate(context.Background(), headers("X-Auth-Token", "good")); err != nil || who.ProjectID != "blue" {
				t.Errorf("%+v, %v", who, err)
			}
		})
	}
	leave()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("who left got %v", err)
	}
	close(release)
	wg.Wait()
	if logins, asked := f.counts("good"); logins != 1 || asked != 1 {
		t.Errorf("%d logins and %d questions for 51 requests with one token", logins, asked)
	}
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

func TestOurOwnTokenIsRenewed(t *testing.T) {
	f := newFakeKeystone(t)
	k := believing(t, f, nil)
	ask := func(what string, logins int) {
		t.Helper()
		f.issue(what, time.Hour, ofProject("blue", "member"))
		if _, err := asks(t, k, what); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if n, _ := f.counts(""); n != logins {
			t.Errorf("%s: %d logins, want %d", what, n, logins)
		}
	}
	ask("start", 1)
	f.clock.pass(f.life - renewBefore - time.Second)
	ask("early", 1)
	f.clock.pass(time.Second)
	ask("before-its-end", 2)
	f.revokeOurs()
	ask("revoked", 3)
	f.life = 10 * time.Second // shorter than the time before the end
	f.revokeOurs()
	ask("short", 4)
	f.clock.pass(4 * time.Second)
	ask("short-first-half", 4)
	f.clock.pass(time.Second)
	ask("short-second-half", 5)
	f.clock.pass(time.Hour)
	ask("long-over", 6)
}

func TestKeystoneDown(t *testing.T) {
	f := newFakeKeystone(t)
	k := believing(t, f, func(o *KeystoneOptions) { o.Retries = 2 })
	f.issue("known", time.Hour, ofProject("blue", "member"))
	f.issue("new", time.Hour, ofProject("blue", "member"))
	if _, err := asks(t, k, "known"); err != nil {
		t.Fatal(err)
	}
	var attempts atomic.Int32
	answer := func(status int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			attempts.Add(1)
			w.WriteHeader(status)
			return true
		}
	}
	for _, status := range []int{500, 502, 503, 504, 429} {
		attempts.Store(0)
		f.inTrouble(answer(status))
		_, err := asks(t, k, "new")
		wantUnavailable(t, fmt.Sprint(status), err, fmt.Sprint("status ", status))
		if attempts.Load() != 3 {
			t.Errorf("%d: %d attempts, want 3", status, attempts.Load())
		}
	}
	for _, status := range []int{302, 400, 403} {
		f.inTrouble(answer(status))
		_, err := asks(t, k, "new")
		wantUnavailable(t, fmt.Sprint(status), err, fmt.Sprint("status ", status))
	}
	f.inTrouble(func(w http.ResponseWriter, _ *http.Request) bool { fmt.Fprint(w, "<html>secret-page"); return true })
	_, err := asks(t, k, "new")
	wantUnavailable(t, "a page", err, "the answer is not the Identity API's")
	if strings.Contains(err.Error(), "secret-page") {
		t.Errorf("the error repeats the answer: %v", err)
	}
	f.inTrouble(func(w http.ResponseWriter, _ *http.Request) bool { fmt.Fprint(w, `{"token":{}}`); return true })
	_, err = asks(t, k, "new")
	wantUnavailable(t, "no expiry", err, "does not say when the token expires")
	f.inTrouble(func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) })
	_, err = asks(t, k, "new")
	wantUnavailable(t, "connection lost", err, "EOF")
	if _, err := asks(t, k, "known"); err != nil {
		t.Errorf("a token that is kept needs Keystone: %v", err)
	}
	f.inTrouble(nil)
	if _, err := asks(t, k, "new"); err != nil {
		t.Errorf("Keystone is back: %v", err)
	}
	f.Close()
	f.clock.pass(maxTokenCacheTime)
	_, err = asks(t, k, "known")
	wantUnavailable(t, "nobody listens", err, "connection refused")
}

func TestAPassingFaultIsNotSeen(t *testing.T) {
	f := newFakeKeystone(t)
	k := believing(t, f, func(o *KeystoneOptions) { o.Retries = 0 })
	f.issue("good", time.Hour, ofProject("blue", "member"))
	var n atomic.Int32
	f.inTrouble(func(w http.ResponseWriter, _ *http.Request) bool {
		if n.Add(1)%3 == 0 {
			return false
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	if _, err := asks(t, k, "good"); err != nil {
		t.Errorf("two faults before each answer: %v", err)
	}
}

func TestAKeystoneThatHangsIsGivenUp(t *testing.T) {
	f := newFakeKeystone(t)
	k := believing(t, f, func(o *KeystoneOptions) { o.Timeout = 50 * time.Millisecond })
	end := make(chan struct{})
	defer close(end)
	f.inTrouble(func(http.ResponseWriter, *http.Request) bool { <-end; return true })
	start := time.Now()
	_, err := asks(t, k, "x")
	wantUnavailable(t, "hanging", err, "asking the identity service")
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestAWrongServiceAccountIsNotTheClientsFault(t *testing.T) {
	f := newFakeKeystone(t)
	f.issue("good", time.Hour, ofProject("blue", "member"))
	k := believing(t, f, func(o *KeystoneOptions) { o.Password = "wrong-secret" })
	_, err := asks(t, k, "good")
	wantUnavailable(t, "wrong password", err, `check [keystone_authtoken] username ("neutron")`)
	if strings.Contains(err.Error(), "wrong-secret") {
		t.Errorf("the error holds the password: %v", err)
	}
	k = believing(t, f, nil)
	f.inTrouble(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet {
			w.WriteHeader(http.StatusUnauthorized)
		}
		return r.Method == http.MethodGet
	})
	_, err = asks(t, k, "good")
	wantUnavailable(t, "an account that may not ask", err, "may not ask about tokens")
	if logins, _ := f.counts(""); logins != 2 {
		t.Errorf("neutrino logged in %d times", logins)
	}
}

func TestAServiceCarriesOnWithAnExpiredToken(t *testing.T) {
	f := newFakeKeystone(t)
	f.issue("late", time.Minute, ofProject("blue", "member"))
	f.issue("nova", time.Hour, ofProject("service", "Service"))
	f.issue("friend", time.Hour, ofProject("red", "member"))
	f.clock.pass(2 * time.Minute)
	k := believing(t, f, nil)
	_, err := asks(t, k, "late")
	wantRefused(t, "an expired token", err)
	for range 2 {
		who, err := asks(t, k, "late", "X-Service-Token", "nova")
		if err != nil || who.ProjectID != "blue" || !slices.Equal(who.ServiceRoles, []string{"service"}) {
			t.Errorf("an expired token beside a service's: %+v, %v", who, err)
		}
	}
	_, err = asks(t, k, "late", "X-Service-Token", "friend")
	wantRefused(t, "an expired token beside another user's", err)
	_, err = asks(t, k, "late")
	wantRefused(t, "an expired token after a service used it", err)
	k = believing(t, f, func(o *KeystoneOptions) { o.ServiceTokenRolesRequired = true })
	_, err = asks(t, k, "friend", "X-Service-Token", "friend")
	wantRefused(t, "a service token without the role", err)
	if _, err := asks(t, k, "friend", "X-Service-Token", "nova"); err != nil {
		t.Error(err)
	}
	f.clock.pass(time.Hour)
	_, err = asks(t, k, "late", "X-Service-Token", "nova")
	wantRefused(t, "an expired service token", err)
}

func TestTheRegionsEndpointIsAsked(t *testing.T) {
	one, two := newFakeKeystone(t), newFakeKeystone(t)
	two.tokens, two.clock = one.tokens, one.clock // one database behind both
	one.catalog = []any{
		map[string]any{"type": "network", "endpoints": []any{map[string]any{"interface": "internal", "region": "north", "url": "http://other.example"}}},
		map[string]any{"type": "identity", "endpoints": []any{
			map[string]any{"interface": "public", "region": "north", "url": "http://other.example"},
			map[string]any{"interface": "internal", "region": "south", "url": "http://other.example"},
			map[string]any{"interface": "internal", "region": "north", "url": two.URL + "/"},
			map[string]any{"interface": "admin", "region": "south", "url": two.URL + "/"},
		}},
	}
	one.issue("good", time.Hour, ofProject("blue", "member"))
	for i, where := range []func(*KeystoneOptions){
		func(o *KeystoneOptions) { o.Region = "north" },
		func(o *KeystoneOptions) { o.Region, o.Interface = "south", "admin" },
		func(o *KeystoneOptions) { o.Interface = "admin" },
	} {
		if _, err := asks(t, believing(t, one, where), "good"); err != nil {
			t.Fatal(err)
		}
		if _, asked := two.counts("good"); asked != i+1 {
			t.Errorf("endpoint %d was asked %d times", i, asked)
		}
	}
	_, err := asks(t, believing(t, one, func(o *KeystoneOptions) { o.Region = "west" }), "good")
	wantUnavailable(t, "unknown region", err, `no internal endpoint of the identity service in region "west"`)
}

func TestADomainIsNamedByItsIDWhereThereIsOne(t *testing.T) {
	o := KeystoneOptions{AuthURL: "http://cloud.example", Username: "u", Password: "p", ProjectName: "s", UserDomainID: "default", ProjectDomainName: "Services"}
	if err := o.complete(); err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal((&identityClient{opts: o}).login())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"user":{"domain":{"id":"default"},"name":"u"`, `"project":{"domain":{"name":"Services"},"name":"s"}`} {
		if !strings.Contains(string(body), want) {
			t.Errorf("no %s in %s", want, body)
		}
	}
}

func TestACertificateIsChecked(t *testing.T) {
	plain := newFakeKeystone(t)
	plain.issue("good", time.Hour, ofProject("blue", "member"))
	f := &fakeKeystone{clock: plain.clock}
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(plain.serve))
	f.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshake that fails
	f.StartTLS()
	t.Cleanup(f.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	writeFile(t, ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw})))
	_, err := asks(t, believing(t, f, nil), "good")
	wantUnavailable(t, "a certificate of nobody", err, "certificate")
	for what, change := range map[string]func(*KeystoneOptions){
		"cafile":   func(o *KeystoneOptions) { o.CAFile = ca },
		"insecure": func(o *KeystoneOptions) { o.Insecure = true },
	} {
		if _, err := asks(t, believing(t, f, change), "good"); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*KeystoneOptions){
		"auth_url: not set":            func(o *KeystoneOptions) { o.AuthURL = "" },
		"username: not set":            func(o *KeystoneOptions) { o.Username = "" },
		"password: not set":            func(o *KeystoneOptions) { o.Password = "" },
		"project_name: not set":        func(o *KeystoneOptions) { o.ProjectName = "" },
		"auth_url: not an address":     func(o *KeystoneOptions) { o.AuthURL = "controller:5000" },
		"www_authenticate_uri: not an": func(o *KeystoneOptions) { o.WWWAuthenticateURI = `http://x/"` },
		"is more than 5m0s":            func(o *KeystoneOptions) { o.TokenCacheTime = time.Hour },
		"cafile: open ":                func(o *KeystoneOptions) { o.CAFile = empty + ".missing" },
		"holds no certificate":         func(o *KeystoneOptions) { o.CAFile = empty },
	} {
		o := KeystoneOptions{AuthURL: "http://controller:5000/v3", Username: "u", Password: "p-secret", ProjectName: "s"}
		change(&o)
		_, err := Keystone(o)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "p-secret") {
			t.Errorf("%v, want %q", err, want)
		}
	}
	for _, address := range []string{"http://c:5000", "http://c:5000/", "http://c:5000/v3", "http://c:5000/v3/"} {
		if got := versioned(address); got != "http://c:5000/v3" {
			t.Errorf("%s becomes %s", address, got)
		}
	}
}

// A token that comes in must not come out: not in an error, not in what the
// process keeps (failures.md S32).
func TestATokenIsNeverTold(t *testing.T) {
	const planted = "planted-token-4711"
	f := newFakeKeystone(t)
	k := believing(t, f, nil)
	var told []string
	tell := func(token string, more ...string) {
		if _, err := asks(t, k, token, more...); err != nil {
			told = append(told, fmt.Sprintf("%v %+v %q", err, err, neutrino.AsError(err).Message))
		}
	}
	tell(planted)
	tell(planted + " ")
	tell("x", "X-Service-Token", planted)
	for _, trouble := range []func(http.ResponseWriter, *http.Request) bool{
		func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "http://127.0.0.1:1/"+r.Header.Get("X-Subject-Token"), http.StatusFound)
			return true
		},
		func(w http.ResponseWriter, r *http.Request) bool {
			w.WriteHeader(http.StatusBadGateway)
			fmt.Fprint(w, r.Header)
			return true
		},
		func(w http.ResponseWriter, r *http.Request) bool { fmt.Fprint(w, r.Header); return true },
		func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) },
	} {
		f.inTrouble(trouble)
		tell(planted + fmt.Sprint(len(told)))
	}
	if len(told) != 7 {
		t.Errorf("%d refusals: %q", len(told), told)
	}
	f.inTrouble(nil)
	f.issue(planted+"-good", time.Hour, map[string]any{"user": map[string]any{"id": "u"}})
	tell(planted + "-good")
	kept := fmt.Sprintf("%+v %+v %+v", k.known.byKey, k.refused.byKey, k.known.order.Front().Value)
	if n := k.known.order.Len() + k.refused.order.Len(); n < 2 {
		t.Errorf("only %d answers are kept", n)
	}
	for _, s := range append(told, kept) {
		if strings.Contains(s, planted) || strings.Contains(s, "service-secret") || strings.Contains(s, "our-own-") {
			t.Errorf("a secret is told: %s", s)
		}
	}
}
