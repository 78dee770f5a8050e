package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"neutrino/feed"
)

// alone is a server that runs with the text as its neutron.conf, and nothing else.
func alone(t *testing.T, text string) *program {
	t.Helper()
	api := freeAddress(t)
	p := &program{T: t, dir: t.TempDir(), url: "http://" + api}
	_, port, _ := net.SplitHostPort(api)
	conf := "[DEFAULT]\nbind_port = " + port + "\nstate_path = " + p.dir + "\n" + text
	if err := os.WriteFile(filepath.Join(p.dir, "neutron.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	p.start()
	return p
}

// send is a request with the headers, "name: value" a line; Host is one of them.
func (p *program) send(method, headers, body string) (int, string) {
	p.Helper()
	req, err := http.NewRequest(method, p.url+"/v2.0/networks", strings.NewReader(body))
	if err != nil {
		p.Fatal(err)
	}
	for line := range strings.Lines(headers) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if name == "Host" {
			req.Host = value
		}
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.Fatal(err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(answer)
}

// A browser on this machine reaches the API, and shows pages of everybody.
func TestNoWebPageIsAdministrator(t *testing.T) {
	p := alone(t, "network_link_prefix = http://cloud.example/network\n[neutrino]\napi_names = controller\n")
	const network = `{"network": {"name": "mine"}}`
	const json = "Content-Type: application/json\n"
	for _, row := range []struct {
		method, headers, body string
		status                int
		remedy                string
	}{
		{"POST", json, network, 201, ""}, // curl, openstack, gophercloud, terraform
		{"POST", json + "Host: localhost:9696", network, 201, ""},
		{"POST", json + "Host: controller:9696\nOrigin: http://controller:9696\nSec-Fetch-Site: same-origin", network, 201, ""},
		{"GET", "Host: cloud.example", "", 200, ""},
		{"GET", "Sec-Fetch-Site: none", "", 200, ""}, // typed into the browser
		// The row of the issue: a text with a foreign Host and Origin.
		{"POST", "Host: evil.example\nOrigin: http://evil.example\nContent-Type: text/plain", network, 403, "api_names = evil.example"},
		{"POST", json + "Host: evil.example", network, 403, "send localhost or its address"},
		{"GET", "Host: evil.example", "", 403, "send localhost or its address"},
		{"POST", json + "Origin: http://evil.example", network, 403, "its own pages"},
		{"POST", json + "Origin: null", network, 403, "its own pages"},
		{"DELETE", "Origin: http://localhost:3000", "", 403, "its own pages"},
		{"GET", "Sec-Fetch-Site: cross-site", "", 403, "another origin"},
		{"POST", "Content-Type: text/plain", network, 415, "Content-Type: application/json"},
		{"POST", "Content-Type: application/x-www-form-urlencoded", network, 415, "Content-Type: application/json"},
		{"POST", "", network, 415, "Content-Type: application/json"},
	} {
		status, answer := p.send(row.method, row.headers, row.body)
		if status != row.status || !strings.Contains(answer, row.remedy) {
			t.Errorf("%s with %q: %d %s, want %d with %q", row.method, row.headers, status, answer, row.status, row.remedy)
		}
	}
	if _, answer := p.send("GET", "", ""); strings.Count(answer, `"name":"mine"`) != 3 {
		t.Errorf("a refused request made something: %s", answer)
	}
	if status, _ := p.get("/healthz", "load-balancer"); status != 200 {
		t.Errorf("who looks after the server under another name gets %d", status)
	}
}

func (p *program) get(path, host string) (int, string) {
	p.Helper()
	req, err := http.NewRequest("GET", p.url+path, nil)
	if err != nil {
		p.Fatal(err)
	}
	req.Host = host
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

// A browser remembers the password of http_basic and sends it for every page; under
// another name it does not.
func TestRememberedPasswordServesNoOtherPage(t *testing.T) {
	users := filepath.Join(t.TempDir(), "htpasswd")
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(users, append([]byte("ada:"), hash...), 0o600); err != nil {
		t.Fatal(err)
	}
	p := alone(t, "auth_strategy = http_basic\nhttp_basic_auth_user_file = "+users+"\n")
	const known = "Authorization: Basic YWRhOnNlY3JldA==\n"
	for headers, want := range map[string]int{
		known: 200, known + "Host: api.example": 200, "Host: api.example": 401,
		known + "Origin: http://evil.example": 403, known + "Sec-Fetch-Site: cross-site": 403,
	} {
		if status, answer := p.send("GET", headers, ""); status != want {
			t.Errorf("%q: %d %s, want %d", headers, status, answer, want)
		}
	}
	if status, _ := p.send("POST", known+"Content-Type: text/plain", `{"network": {}}`); status != 415 {
		t.Errorf("a text with a remembered password: %d", status)
	}
}

func TestAPIAndFeedHaveASwitchEach(t *testing.T) {
	everywhere := &net.TCPAddr{IP: net.IPv4zero, Port: 9696}
	for text, want := range map[string]struct {
		api  bool
		feed feed.Exposure
	}{
		"":                                     {false, feed.Local},
		"allow_unauthenticated_api = true\n":   {true, feed.Local},
		"allow_unauthenticated_feed = true\n":  {false, feed.Anywhere},
		"allow_unauthenticated = false\n":      {false, feed.Local},
		"allow_unauthenticated_api = false\n":  {false, feed.Local},
		"allow_unauthenticated_feed = false\n": {false, feed.Local},
	} {
		v, err := serverFile(t, "[neutrino]\n"+text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		err = checkExposure(v, []net.Listener{listening{addr: everywhere}})
		if (err == nil) != want.api || err != nil && !strings.Contains(err.Error(), "allow_unauthenticated_api = true") {
			t.Errorf("%q: the API everywhere: %v", text, err)
		}
		if feedExposure(v) != want.feed {
			t.Errorf("%q: the feed is offered %v, want %v", text, feedExposure(v), want.feed)
		}
	}
	_, err := serverFile(t, "[neutrino]\nallow_unauthenticated = true\n")
	for _, name := range []string{allowOpenAPI, allowOpenFeed} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("one word for two doors: %v, want it to name %s", err, name)
		}
	}
	_, err = feed.Listen(context.Background(), "192.0.2.1:9697", feed.Local)
	if err = feedError("feed_listen", err); !errors.Is(err, feed.ErrExposed) || !strings.Contains(err.Error(), "allow_unauthenticated_feed = true") {
		t.Errorf("the feed beyond loopback: %v", err)
	}
}

// listening is a listener of which only the address matters.
type listening struct {
	net.Listener
	addr net.Addr
}

func (l listening) Addr() net.Addr { return l.addr }
