package metadata

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The session tokens of version 2 of the EC2 format: an instance may ask for
// one and show it with its questions. Questions without one are answered too,
// as EC2 does where HttpTokens is "optional".
const (
	tokenPath   = "/latest/api/token"
	headerTTL   = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
	headerToken = "X-Aws-Ec2-Metadata-Token"
	maxTTL      = 21600 // seconds
)

// tokens makes session tokens and knows its own again. It keeps none: a token
// is its end and a signature over the end and whom it was given to.
type tokens struct {
	key []byte
	now func() time.Time
}

// newTokens signs with a key; one that is empty stands for one that lasts as
// long as the process.
func newTokens(key []byte) *tokens {
	if len(key) == 0 {
		key = make([]byte, sha256.Size)
		_, _ = rand.Read(key) // it never fails (crypto/rand)
	}
	return &tokens{key: key, now: time.Now}
}

const expiryLen = 8

func (t *tokens) sign(expiry []byte, i Instance) []byte {
	m := hmac.New(sha256.New, t.key)
	m.Write(expiry)
	_, _ = io.WriteString(m, string(i.Port)) // a hash takes everything
	return m.Sum(nil)
}

// make is a token for an instance's port, for a number of seconds.
func (t *tokens) make(i Instance, ttl int) string {
	expiry := binary.BigEndian.AppendUint64(nil, uint64(t.now().Unix()+int64(ttl)))
	return base64.RawURLEncoding.EncodeToString(append(expiry, t.sign(expiry, i)...))
}

// valid reports whether the token was given to the port and has not run out.
func (t *tokens) valid(token string, i Instance) bool {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) != expiryLen+sha256.Size {
		return false
	}
	expiry := b[:expiryLen]
	return hmac.Equal(b[expiryLen:], t.sign(expiry, i)) && t.now().Unix() < int64(binary.BigEndian.Uint64(expiry))
}

// give answers a request for a token. One that came through a proxy is refused:
// it was not the instance itself that asked.
func (t *tokens) give(w http.ResponseWriter, r *http.Request, i Instance) {
	if r.Header.Get(headerFor) != "" {
		refuse(w, http.StatusForbidden)
		return
	}
	ttl, err := strconv.Atoi(strings.TrimSpace(r.Header.Get(headerTTL)))
	if err != nil || ttl < 1 || ttl > maxTTL {
		http.Error(w, headerTTL+" has to be 1 to "+strconv.Itoa(maxTTL)+" seconds", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", kindText)
	w.Header().Set(headerTTL, strconv.Itoa(ttl))
	// A caller that went away needs no answer.
	_, _ = io.WriteString(w, t.make(i, ttl))
}
