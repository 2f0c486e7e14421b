package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/headrace/headrace/pubsub"
)

// servePublish adds what lets other servers publish, where there is a token.
func (t *topics) servePublish(mux *http.ServeMux) {
	if t.token != "" {
		mux.HandleFunc("POST /publish/{topic}", t.withToken(t.publish))
		mux.HandleFunc("DELETE /publish/{topic}", t.withToken(t.deleteKey))
	}
}

// dottedTopics are the topics that ServeMux takes for ways through folders, and leads away
// from with a 307, and how it takes them for topics.
var dottedTopics = map[string]string{"/publish/.": "/publish/%2E", "/publish/..": "/publish/%2E%2E"}

// dotsAreTopics has them answered as the bad topics that they are.
func dotsAreTopics(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path, ok := dottedTopics[r.URL.EscapedPath()]; ok {
			u := *r.URL
			u.RawPath = path
			r = r.WithContext(r.Context()) // a copy
			r.URL = &u
		}
		next.ServeHTTP(w, r)
	})
}

// publishTimeout is how long a body may take.
const publishTimeout = 30 * time.Second

// withToken answers who does not have the token with 401, before it reads anything.
func (t *topics) withToken(next func(http.ResponseWriter, *http.Request)) http.HandlerFunc {
	want := sha256.Sum256([]byte(t.token))
	return func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		got := sha256.Sum256([]byte(token)) // of one length, whatever the token's
		if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(got[:], want[:]) == 0 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			say(w, http.StatusUnauthorized, "the token is missing or wrong")
			return
		}
		next(w, r)
	}
}

// publish answers a POST.
func (t *topics) publish(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(publishTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, t.maxData))
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		say(w, http.StatusRequestEntityTooLarge, "the data is too long")
	case err != nil:
		say(w, http.StatusBadRequest, "the body did not come whole")
	case !json.Valid(body) || !utf8.Valid(body):
		say(w, http.StatusBadRequest, "the body is no JSON")
	case hasLoneSurrogate(body):
		say(w, http.StatusBadRequest, "the body"+halfCharacter)
	default:
		t.put(w, r, func(topic, key string) (pubsub.Position, error) {
			return t.feed.hub.Publish(topic, key, compact(body))
		})
	}
}

// deleteKey answers a DELETE.
func (t *topics) deleteKey(w http.ResponseWriter, r *http.Request) { t.put(w, r, t.feed.hub.Delete) }

// put does what is asked for with the topic and the key of the request, and says what
// came of it.
func (t *topics) put(w http.ResponseWriter, r *http.Request, do func(topic, key string) (pubsub.Position, error)) {
	topic := r.PathValue("topic")
	key, err := onlyKey(r.URL.RawQuery)
	switch {
	case err != nil:
		say(w, http.StatusBadRequest, err.Error())
		return
	case !utf8.ValidString(key):
		say(w, http.StatusBadRequest, "the key is no UTF-8")
		return
	case len(key) > maxKey:
		say(w, http.StatusBadRequest, errLongKey.reason)
		return
	}
	at, err := do(topic, key)
	if err != nil {
		why := refusalOf(err)
		status := statuses[why.code]
		if status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "1")
		}
		say(w, status, why.reason)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(append(appendPlace([]byte{'{'}, topic, at), "}\n"...))
}

// onlyKey gives the key of a query, which has nothing else.
func onlyKey(query string) (string, error) {
	all, err := url.ParseQuery(query)
	if err != nil {
		return "", errors.New("the query is none: what stands behind a % or between two & is wrong")
	}
	for name := range all {
		if name != "key" {
			return "", fmt.Errorf("the query has %.40q: it may have key, and nothing else", name)
		}
	}
	if len(all["key"]) > 1 {
		return "", errors.New("the query has more than one key")
	}
	return all.Get("key"), nil
}

// statuses are the codes of the feed as HTTP has them.
var statuses = map[string]int{
	"bad-message": http.StatusBadRequest,
	"bad-topic":   http.StatusBadRequest,
	"forbidden":   http.StatusForbidden,
	"too-many":    http.StatusTooManyRequests,
	"too-long":    http.StatusRequestEntityTooLarge,
	"busy":        http.StatusServiceUnavailable,
}
