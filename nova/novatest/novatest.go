// Package novatest is a Nova and a Keystone for tests: they do what the station
// nova asks of the real ones, over HTTP, and remember it.
package novatest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// The account that the fake knows.
const (
	Username = "neutron"
	Password = "planted-password"
	Project  = "service"
)

// Event is one event, as it was sent.
type Event struct {
	Name     string `json:"name"`
	ServerID string `json:"server_uuid"`
	Tag      string `json:"tag"`
	Status   string `json:"status,omitempty"`
	Code     int    `json:"code,omitempty"`
}

// Cloud is a Keystone and a Nova.
type Cloud struct {
	server   *httptest.Server
	mu       sync.Mutex
	down     bool
	logins   int
	tokens   map[string]bool
	messages [][]Event // those that were answered
	attempts int
	answer   func(Event) int
	whole    func([]Event) (status int, body string)
	held     chan struct{} // while it is open, Nova does not answer
}

// New starts both; they end with the test.
func New(t *testing.T) *Cloud {
	t.Helper()
	c := &Cloud{tokens: map[string]bool{}, answer: func(Event) int { return http.StatusOK }}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v3/auth/tokens", c.login)
	mux.HandleFunc("POST /v2.1/os-server-external-events", c.events)
	c.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		down := c.down
		c.mu.Unlock()
		if down {
			panic(http.ErrAbortHandler) // the connection breaks
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		c.Release()
		c.server.Close()
	})
	return c
}

// AuthURL is the Keystone's.
func (c *Cloud) AuthURL() string { return c.server.URL + "/v3" }

func (c *Cloud) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// Fall breaks every connection until [Cloud.Rise].
func (c *Cloud) Fall() { c.change(func() { c.down = true }) }

// Rise ends what [Cloud.Fall] began.
func (c *Cloud) Rise() { c.change(func() { c.down = false }) }

// Hold keeps Nova from answering until [Cloud.Release].
func (c *Cloud) Hold() { c.change(func() { c.held = make(chan struct{}) }) }

// Release lets Nova answer what it holds.
func (c *Cloud) Release() {
	c.change(func() {
		if c.held != nil {
			close(c.held)
			c.held = nil
		}
	})
}

// Expire ends all tokens.
func (c *Cloud) Expire() { c.change(func() { clear(c.tokens) }) }

// Answer gives each event its code.
func (c *Cloud) Answer(code func(Event) int) { c.change(func() { c.answer = code }) }

// AnswerWhole answers a message; a status of 0 leaves that to [Cloud.Answer].
func (c *Cloud) AnswerWhole(f func([]Event) (status int, body string)) {
	c.change(func() { c.whole = f })
}

// Messages are the events of each message that Nova has taken.
func (c *Cloud) Messages() [][]Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([][]Event{}, c.messages...)
}

// Events are all events that Nova has taken, in their order.
func (c *Cloud) Events() []Event {
	var all []Event
	for _, m := range c.Messages() {
		all = append(all, m...)
	}
	return all
}

// Attempts are the messages that have reached Nova, answered or not.
func (c *Cloud) Attempts() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.attempts
}

// Logins are the tokens that Keystone gave.
func (c *Cloud) Logins() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.logins
}

func (c *Cloud) login(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Auth struct {
			Identity struct {
				Password struct {
					User struct{ Name, Password string }
				}
			}
			Scope struct{ Project struct{ Name string } }
		}
	}
	err := json.NewDecoder(r.Body).Decode(&body)
	user := body.Auth.Identity.Password.User
	if err != nil || user.Name != Username || user.Password != Password || body.Auth.Scope.Project.Name != Project {
		http.Error(w, `{"error": {"code": 401}}`, http.StatusUnauthorized)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.logins++
	token := fmt.Sprintf("planted-token-%d", c.logins)
	c.tokens[token] = true
	w.Header().Set("X-Subject-Token", token)
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, `{"token": {"expires_at": %q, "catalog": [{"type": "compute", "name": "nova", "endpoints": [`+
		`{"interface": "public", "region": "RegionOne", "region_id": "RegionOne", "url": %q},`+
		`{"interface": "internal", "region": "RegionTwo", "region_id": "RegionTwo", "url": "http://127.0.0.1:1/v2.1"}]}]}}`,
		time.Now().Add(time.Hour).UTC().Format(time.RFC3339), c.server.URL+"/v2.1")
}

func (c *Cloud) events(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Events []Event `json:"events"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	c.attempts++
	known, held, answer, whole := c.tokens[r.Header.Get("X-Auth-Token")], c.held, c.answer, c.whole
	c.mu.Unlock()
	if !known {
		http.Error(w, `{"error": {"code": 401}}`, http.StatusUnauthorized)
		return
	}
	if held != nil {
		select {
		case <-held:
		case <-r.Context().Done():
			return
		}
	}
	if whole != nil {
		if status, text := whole(body.Events); status != 0 {
			http.Error(w, text, status)
			return
		}
	}
	status := http.StatusOK
	taken := append([]Event{}, body.Events...)
	for i := range body.Events {
		if body.Events[i].Code = answer(body.Events[i]); body.Events[i].Code != http.StatusOK {
			status = http.StatusMultiStatus
		}
	}
	c.change(func() { c.messages = append(c.messages, taken) })
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}
