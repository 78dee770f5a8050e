package metadata

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"
)

// asks sends a request with headers, as "Name: value".
func asks(t *testing.T, c *http.Client, method, url string, headers ...string) (code int, header http.Header, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	r, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var b strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := r.Body.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			return r.StatusCode, r.Header, b.String()
		}
	}
}

// What cloud-init's Ec2 datasource does: it asks for a token, shows it with each
// question, and takes a 401 as a reason to ask for another one.
func TestAnInstanceMayAskForASessionToken(t *testing.T) {
	h := newHand(t, Options{resolve: honest(local()), Lookup: directory(local()).Find})
	root, c := on(t, h, "router/router-red"), client(t)
	const ttl, token = "X-aws-ec2-metadata-token-ttl-seconds: ", "X-aws-ec2-metadata-token: "
	code, header, given := asks(t, c, http.MethodPut, root+"/latest/api/token", ttl+"21600")
	if code != http.StatusOK || given == "" || strings.ContainsAny(given, " \n") || header.Get("X-aws-ec2-metadata-token-ttl-seconds") != "21600" {
		t.Fatalf("%d %q %v", code, given, header)
	}
	for _, q := range []struct {
		name, method, path, header string
		code                       int
	}{
		{"with the token", http.MethodGet, "/2009-04-04/meta-data/instance-id", token + given, 200},
		{"with the token, of OpenStack's format", http.MethodGet, "/openstack/latest/meta_data.json", token + given, 200},
		{"without one", http.MethodGet, "/2009-04-04/meta-data/instance-id", "", 200},
		{"with one that is made up", http.MethodGet, "/2009-04-04/meta-data/instance-id", token + "AAAA", 401},
		{"with one that is cut", http.MethodGet, "/latest/user-data", token + given[:len(given)-1], 401},
		{"with one that is empty", http.MethodGet, "/latest/meta-data/", token, 401},
		{"a token for no time", http.MethodPut, "/latest/api/token", ttl + "0", 400},
		{"a token for too long", http.MethodPut, "/latest/api/token", ttl + "21601", 400},
		{"a token for a word", http.MethodPut, "/latest/api/token", ttl + "soon", 400},
		{"a token without a time", http.MethodPut, "/latest/api/token", "", 400},
		{"a token through a proxy", http.MethodPut, "/latest/api/token", "X-Forwarded-For: 10.0.0.1", 403},
		{"a token is not read", http.MethodGet, "/latest/api/token", "", 405},
		{"nothing else is written", http.MethodPut, "/latest/meta-data/instance-id", "", 405},
	} {
		headers := []string{q.header}
		if q.header == "" {
			headers = nil
		}
		if code, _, body := asks(t, c, q.method, root+q.path, headers...); code != q.code {
			t.Errorf("%s: %d %q, want %d", q.name, code, body, q.code)
		}
	}
}

func TestATokenIsOfOneInstanceAndRunsOut(t *testing.T) {
	now := time.Unix(1000, 0)
	a := newTokens([]byte("key"))
	a.now = func() time.Time { return now }
	mine, other := Instance{Port: "p1"}, Instance{Port: "p2"}
	token := a.make(mine, 60)
	if !a.valid(token, mine) || a.valid(token, other) {
		t.Error("it is not the token of one instance")
	}
	now = now.Add(59 * time.Second)
	if !a.valid(token, mine) {
		t.Error("it ran out too soon")
	}
	now = now.Add(time.Second)
	if a.valid(token, mine) {
		t.Error("it does not run out")
	}
	now = time.Unix(1000, 0)
	again, stranger, random := newTokens([]byte("key")), newTokens([]byte("another")), newTokens(nil)
	again.now, stranger.now, random.now = a.now, a.now, a.now
	if !again.valid(token, mine) || stranger.valid(token, mine) || random.valid(token, mine) || newTokens(nil).valid(random.make(mine, 60), mine) {
		t.Error("a token is known by its key")
	}
}
