package metadata

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

const secret = "do-not-tell"

// nova is a metadata service that checks what it is told, as Nova does, and
// remembers the last request.
type nova struct {
	*httptest.Server
	mu   sync.Mutex
	last *http.Request
	body string
}

func startNova(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) *nova {
	n := &nova{}
	n.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		n.mu.Lock()
		n.last, n.body = r.Clone(t.Context()), string(b)
		n.mu.Unlock()
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(r.Header.Get("X-Instance-ID")))
		signature, err := hex.DecodeString(r.Header.Get("X-Instance-ID-Signature"))
		if err != nil || !hmac.Equal(signature, mac.Sum(nil)) {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		answer(w, r)
	}))
	t.Cleanup(n.Close)
	return n
}

func (n *nova) seen() (*http.Request, string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.last, n.body
}

func withNova(t *testing.T, n Nova, log *slog.Logger) string {
	h := newHand(t, Options{resolve: honest(local()), Lookup: directory(local()).Find, Nova: &n, Logger: log, Limits: Limits{BodyBytes: 1000}})
	return on(t, h, "router/router-red")
}

func (n *nova) address() string { return strings.TrimPrefix(n.URL, "http://") }

// Whatever an instance says of itself, Nova hears what the socket and the view say.
func TestNovaHearsWhoAsksFromUsAlone(t *testing.T) {
	realtestLoopback(t)
	n := startNova(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "fine") })
	base := withNova(t, Nova{Address: n.address(), Secret: secret}, nil)
	lies := []string{"X-Forwarded-For", "X-Instance-ID", "X-Tenant-ID", "X-Instance-ID-Signature", "X-Neutron-Router-ID", "X-Neutron-Network-ID",
		"X-Metadata-Provider", "X-Metadata-Provider-Signature", "X_Instance_ID", "Forwarded"}
	var raw bytes.Buffer
	raw.WriteString("GET /openstack/latest/meta_data.json?a=b%20c HTTP/1.1\r\nHost: nova.example\r\nConnection: close, X-Instance-ID\r\nUser-Agent: cloud-init\r\n")
	for _, name := range lies {
		for _, form := range []string{name, strings.ToLower(name), strings.ToUpper(name), name} {
			fmt.Fprintf(&raw, "%s: a-lie\r\n", form)
		}
	}
	raw.WriteString("\r\n")
	c, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := raw.WriteTo(c); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v %v", resp, err)
	}
	r, _ := n.seen()
	if r.URL.RequestURI() != "/openstack/latest/meta_data.json?a=b%20c" || r.Host != n.address() {
		t.Errorf("asked %s of %s", r.URL, r.Host)
	}
	for name, values := range r.Header {
		if strings.Contains(strings.Join(values, " "), "a-lie") {
			t.Errorf("Nova got the instance's %s", name)
		}
	}
	for name, want := range map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Instance-ID": "red-web", "X-Tenant-ID": "redp", "User-Agent": "cloud-init"} {
		if got := r.Header.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestNovasAnswersArePassedOnAndItsFailuresMapped(t *testing.T) {
	realtestLoopback(t)
	var code int
	n := startNova(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Internal", "nova-7")
		w.WriteHeader(code)
		fmt.Fprint(w, `{"from":"nova"}`)
	})
	base, c := withNova(t, Nova{Address: n.address(), Secret: secret}, quiet()), client(t)
	for from, to := range map[int]int{200: 200, 206: 206, 404: 404, 400: 400, 409: 409, 500: 500, 501: 500, 502: 502, 503: 503, 504: 504, 599: 500, 302: 302} {
		code = from
		resp, err := (&http.Client{Transport: c.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Get(base + "/x")
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != to || resp.Header.Get("X-Internal") != "" {
			t.Errorf("Nova's %d becomes %d %v", from, resp.StatusCode, resp.Header)
		}
		if got := strings.Contains(string(b), "nova"); got != (from < 500) {
			t.Errorf("of Nova's %d the instance reads %q", from, b)
		}
	}
	code = 200
	resp, err := c.Post(base+"/openstack/latest/password", "text/plain", strings.NewReader("cipher"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if _, body := n.seen(); body != "cipher" || resp.StatusCode != 200 {
		t.Errorf("posted %q, %d", body, resp.StatusCode)
	}
	resp, err = c.Post(base+"/openstack/latest/password", "text/plain", strings.NewReader(strings.Repeat("x", 5000)))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a body beyond the limit answers %d", resp.StatusCode)
	}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodDelete, base+"/x", nil)
	resp, err = c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("DELETE answers %d", resp.StatusCode)
	}
}

// The log says which setting is wrong, once, and never the secret.
func TestAWrongSecretAndAMissingNovaAreNamed(t *testing.T) {
	realtestLoopback(t)
	var log lockedBuffer
	n := startNova(t, func(http.ResponseWriter, *http.Request) {})
	l := slog.New(slog.NewTextHandler(&log, nil))
	base := withNova(t, Nova{Address: n.address(), Secret: "another-secret"}, l)
	for range 3 {
		if code, _ := get(t, client(t), base+"/latest"); code != 403 {
			t.Errorf("wrong secret answers %d", code)
		}
	}
	away := withNova(t, Nova{Address: "127.0.0.1:1", Secret: secret}, l)
	if code, _ := get(t, client(t), away+"/latest"); code != 503 {
		t.Errorf("no Nova answers %d", code)
	}
	said := log.String()
	if strings.Count(said, "metadata_proxy_shared_secret") != 1 || !strings.Contains(said, "cannot be reached") {
		t.Errorf("log:\n%s", said)
	}
	for _, hidden := range []string{secret, "another-secret", "red-web"} {
		if strings.Contains(said, hidden) {
			t.Errorf("the log tells %q:\n%s", hidden, said)
		}
	}
}

func TestASlowNovaIsGivenUpAndAnswersStream(t *testing.T) {
	realtestLoopback(t)
	release := make(chan struct{})
	free := sync.OnceFunc(func() { close(release) })
	n := startNova(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
			return
		}
		fmt.Fprint(w, "first\n")
		w.(http.Flusher).Flush()
		<-release
		fmt.Fprint(w, "second\n")
	})
	t.Cleanup(free)
	base := withNova(t, Nova{Address: n.address(), Secret: secret, Timeout: 300 * time.Millisecond}, quiet())
	if code, _ := get(t, client(t), base+"/slow"); code != 503 {
		t.Errorf("a slow Nova answers %d", code)
	}
	stream := withNova(t, Nova{Address: n.address(), Secret: secret}, quiet())
	resp, err := client(t).Get(stream + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b := bufio.NewReader(resp.Body)
	if line, err := b.ReadString('\n'); line != "first\n" {
		t.Errorf("%q %v before the answer is whole", line, err)
	}
	free()
	if line, err := b.ReadString('\n'); line != "second\n" {
		t.Errorf("%q %v", line, err)
	}
}

func TestNovaIsNotAskedForAnInstanceItCannotKnow(t *testing.T) {
	realtestLoopback(t)
	n := startNova(t, func(http.ResponseWriter, *http.Request) {})
	v := local()
	p := v.Ports["red-web-port"]
	p.DeviceID = ""
	v.Ports[p.ID] = p
	h := newHand(t, Options{resolve: honest(v), Lookup: directory(v).Find, Nova: &Nova{Address: n.address(), Secret: secret}})
	code, _ := get(t, client(t), on(t, h, "router/router-red")+"/latest")
	if r, _ := n.seen(); code != 404 || r != nil {
		t.Errorf("answers %d, Nova saw %v", code, r)
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
