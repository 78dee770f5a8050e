package metadata

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// The headers by which Nova knows who asks (dataplane.md section 5.5).
const (
	headerFor       = "X-Forwarded-For"
	headerInstance  = "X-Instance-Id"
	headerTenant    = "X-Tenant-Id"
	headerSignature = "X-Instance-Id-Signature"
)

// proxy forwards to Nova and says who asks.
type proxy struct {
	nova      Nova
	transport *http.Transport
	warn      func(what string, attrs ...any)
}

func newProxy(n Nova, warn func(string, ...any)) *proxy {
	n.Timeout = cmp.Or(n.Timeout, DefaultNovaTimeout)
	n.Protocol = cmp.Or(n.Protocol, "http")
	dialer := &net.Dialer{Timeout: connectTimeout}
	return &proxy{nova: n, warn: warn, transport: &http.Transport{
		DialContext: dialer.DialContext, TLSClientConfig: n.TLS, TLSHandshakeTimeout: connectTimeout,
		DisableCompression:  true, // what Nova says goes through as it is
		MaxIdleConnsPerHost: idleToNova, IdleConnTimeout: idleTimeout,
	}}
}

const (
	connectTimeout = 10 * time.Second
	idleToNova     = 32
)

func (p *proxy) close() { p.transport.CloseIdleConnections() }

// forward asks Nova and passes its answer on as it comes.
func (p *proxy) forward(w http.ResponseWriter, r *http.Request, i Instance) {
	c, ok := r.Context().Value(connKey{}).(*conn)
	switch {
	case !ok || i.DeviceID == "":
		refuse(w, http.StatusNotFound) // nothing that Nova could know
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPost && r.Method != http.MethodPut:
		refuse(w, http.StatusMethodNotAllowed)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), p.nova.Timeout)
	defer cancel()
	out := p.request(ctx, r)
	out.Header.Set(headerFor, c.source.client.String())
	out.Header.Set(headerInstance, i.DeviceID)
	out.Header.Set(headerTenant, i.ProjectID)
	out.Header.Set(headerSignature, sign(p.nova.Secret, i.DeviceID))
	resp, err := p.transport.RoundTrip(out)
	if err != nil {
		p.failed(w, r, err)
		return
	}
	defer resp.Body.Close()
	p.relay(w, resp)
}

// passed are the headers of an instance that Nova gets to see. No other one is
// handed on, whatever its spelling.
var passed = [...]string{"Accept", "Content-Type", "User-Agent", "Range", "If-None-Match", "If-Modified-Since"}

// request is the request to Nova, without who asks. Its address is Nova's,
// whatever host the instance named.
func (p *proxy) request(ctx context.Context, r *http.Request) *http.Request {
	to := &url.URL{Scheme: p.nova.Protocol, Host: p.nova.Address, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	out := (&http.Request{Method: r.Method, URL: to, Host: p.nova.Address, Header: http.Header{}, ContentLength: r.ContentLength}).WithContext(ctx)
	if r.ContentLength != 0 {
		out.Body = r.Body
	}
	for _, name := range passed {
		if v := r.Header.Values(name); len(v) > 0 {
			out.Header[name] = v
		}
	}
	if out.Header.Get("User-Agent") == "" {
		out.Header["User-Agent"] = nil // nor one of ours
	}
	return out
}

// sign is the instance's id signed with the secret that Nova shares: HMAC-SHA256
// in hexadecimal.
func sign(secret, instance string) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(instance))
	return hex.EncodeToString(m.Sum(nil))
}

// failed answers where Nova did not.
func (p *proxy) failed(w http.ResponseWriter, r *http.Request, err error) {
	var tooLarge *http.MaxBytesError
	var timeout net.Error
	switch {
	case errors.As(err, &tooLarge):
		refuse(w, http.StatusRequestEntityTooLarge)
	case r.Context().Err() != nil:
		// The instance has gone; nobody reads an answer.
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		p.warn("Nova's metadata service does not answer in time", "nova", p.nova.Address)
		refuse(w, http.StatusServiceUnavailable)
	default:
		p.warn("Nova's metadata service cannot be reached", "nova", p.nova.Address, "error", err)
		refuse(w, http.StatusServiceUnavailable)
	}
}

// relay passes Nova's answer on; of a failure of Nova's only the code.
func (p *proxy) relay(w http.ResponseWriter, resp *http.Response) {
	switch code := resp.StatusCode; {
	case code == http.StatusForbidden:
		p.warn("Nova's metadata service refuses us; metadata_proxy_shared_secret must be the same here and in Nova", "nova", p.nova.Address)
		refuse(w, code)
	case code >= http.StatusInternalServerError, code < http.StatusOK:
		p.warn("Nova's metadata service fails", "nova", p.nova.Address, "status", code)
		switch code {
		case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		default:
			code = http.StatusInternalServerError
		}
		refuse(w, code)
	default:
		for _, name := range [...]string{"Content-Type", "Content-Length", "Content-Encoding", "Content-Range", "ETag", "Last-Modified", "Vary", "Cache-Control"} {
			if v := resp.Header.Values(name); len(v) > 0 {
				w.Header()[http.CanonicalHeaderKey(name)] = v
			}
		}
		w.WriteHeader(code)
		if _, err := io.Copy(streamed{w, http.NewResponseController(w)}, resp.Body); err != nil {
			// The answer is cut: the connection must not look as if it were whole.
			panic(http.ErrAbortHandler)
		}
	}
}

// streamed hands every piece on as it comes.
type streamed struct {
	io.Writer
	control *http.ResponseController
}

// Write writes a piece and sends it.
func (s streamed) Write(p []byte) (int, error) {
	n, err := s.Writer.Write(p)
	if err == nil {
		err = s.control.Flush()
	}
	return n, err
}
