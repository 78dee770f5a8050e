package door

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// from is a request as it reaches a server that listens on 127.0.0.1 and
// 192.0.2.7.
func from(local net.Addr, method, host, body string) *http.Request {
	r := httptest.NewRequest(method, "/v2.0/networks", strings.NewReader(body))
	r.Host = host
	return r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, local))
}

func status(err error) int {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Status
	}
	return 0
}

func TestForeignHostIsRefused(t *testing.T) {
	d := &Door{CheckHost: true, Names: []string{"cloud.example", "198.51.100.1"}}
	local := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 9696}
	for host, want := range map[string]int{
		"localhost:9696": 0, "LOCALHOST": 0, "localhost.": 0, "api.localhost:1": 0, "127.0.0.1:9696": 0, "127.8.8.8": 0,
		"[::1]:9696": 0, "[::1]": 0, "[::ffff:127.0.0.1]:9696": 0, "192.0.2.7:9696": 0, "cloud.example": 0, "Cloud.Example.:80": 0, "198.51.100.1:80": 0,
		"evil.example": 403, "evil.example:9696": 403, "": 403, "192.0.2.8:9696": 403, "localhost.evil.example": 403,
		"127.0.0.1.evil.example": 403, "evillocalhost": 403, "[fe80::1]": 403, "0.0.0.0": 403,
	} {
		if got := status(d.Admit(from(local, "GET", host, ""))); got != want {
			t.Errorf("Host %q: %d, want %d", host, got, want)
		}
		if got := status((&Door{}).Admit(from(local, "GET", host, ""))); got != 0 {
			t.Errorf("Host %q where passwords are asked for: %d", host, got)
		}
	}
	if err := d.Admit(from(&net.UnixAddr{Name: "/run/api.sock", Net: "unix"}, "GET", "api", "")); err != nil {
		t.Errorf("through a unix socket: %v", err)
	}
}

func TestPagesOfOtherOriginsAreRefused(t *testing.T) {
	local := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9696}
	for _, row := range []struct {
		name, value string
		want        int
	}{
		{"Origin", "http://localhost:9696", 0}, {"Origin", "https://localhost:9696", 0}, {"Origin", "https://cloud.example", 0},
		{"Origin", "http://evil.example", 403}, {"Origin", "null", 403}, {"Origin", "", 403},
		// Another program of the same machine is another origin.
		{"Origin", "http://localhost:3000", 403}, {"Origin", "http://127.0.0.1:9696", 403},
		{"Origin", "file://localhost:9696", 403}, {"Origin", "http://localhost:9696.evil.example", 403},
		{"Origin", "http://localhost:9696@evil.example", 403},
		{"Sec-Fetch-Site", "same-origin", 0}, {"Sec-Fetch-Site", "none", 0},
		{"Sec-Fetch-Site", "cross-site", 403}, {"Sec-Fetch-Site", "same-site", 403}, {"Sec-Fetch-Site", "anything", 403},
	} {
		for _, d := range []*Door{{CheckHost: true, Names: []string{"cloud.example"}}, {Names: []string{"cloud.example"}}} {
			r := from(local, "GET", "localhost:9696", "")
			r.Header.Set(row.name, row.value)
			if got := status(d.Admit(r)); got != row.want {
				t.Errorf("%s: %s: %d, want %d", row.name, row.value, got, row.want)
			}
		}
	}
}

// A form, a text and a blob without a type are what a page can send anywhere
// without asking first.
func TestBodiesThatAreNotJSONAreRefused(t *testing.T) {
	local := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9696}
	for kind, want := range map[string]int{
		"application/json": 0, "application/json; charset=UTF-8": 0, "Application/JSON": 0,
		"": 415, "text/plain": 415, "application/x-www-form-urlencoded": 415, "multipart/form-data; boundary=x": 415,
		"text/plain; x=application/json": 415, "application/json, text/plain": 415, "application/jsonp": 415,
	} {
		for _, length := range []int64{-1, 2} { // chunked, and told
			r := from(local, "POST", "localhost", "{}")
			r.ContentLength = length
			if kind != "" {
				r.Header.Set("Content-Type", kind)
			}
			err := (&Door{}).Admit(r)
			if got := status(err); got != want {
				t.Errorf("Content-Type %q: %d, want %d", kind, got, want)
			}
			if want != 0 && !strings.Contains(err.Error(), "Content-Type: application/json") {
				t.Errorf("Content-Type %q: %v does not say what to send", kind, err)
			}
		}
	}
	if err := (&Door{}).Admit(from(local, "PUT", "localhost", "")); err != nil {
		t.Errorf("without a body: %v", err)
	}
	r := from(local, "POST", "localhost", "{}")
	r.Header.Add("Content-Type", "application/json")
	r.Header.Add("Content-Type", "text/plain")
	if got := status((&Door{}).Admit(r)); got != 415 {
		t.Errorf("two types: %d", got)
	}
}
