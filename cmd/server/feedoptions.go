package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/headrace/headrace/pubsub"
)

// feedOptions are what the settings say of topics.
type feedOptions struct {
	heartbeat        time.Duration
	history          int // as pubsub.Config.History
	maxTopics        int
	maxSubscriptions int
	publish          []string
	publishToken     string
	publishTokenFile string
	demo             demo
}

// publishToken gives the token of POST /publish, "" for none.
func publishToken(opts *options) (string, error) {
	f := &opts.feed
	if f.publishTokenFile == "" {
		return f.publishToken, nil
	}
	text, err := os.ReadFile(f.publishTokenFile)
	if err != nil {
		return "", fmt.Errorf("%s: the file cannot be read: %w", opts.cite("publish-token-file"), cause(err))
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return "", fmt.Errorf("%s: the file is empty", opts.cite("publish-token-file"))
	}
	if err := (secret{&token}).set(token); err != nil {
		return "", fmt.Errorf("%s: %w", opts.cite("publish-token-file"), err)
	}
	return token, nil
}

// topicPattern is a pattern of topics.
func topicPattern(s string) (string, error) {
	if pubsub.ValidPattern(s) != nil {
		return "", errors.New("it must be a topic or a pattern, such as room.blue, room.* or room.>")
	}
	return s, nil
}

// secret is a bearer token (RFC 6750 §2.1). It is not shown.
type secret struct{ to *string }

// hidden is shown instead. It is no token.
const hidden = "(set)"

func (v secret) strings() []string {
	if *v.to == "" {
		return []string{""}
	}
	return []string{hidden}
}

func (v secret) set(s string) error {
	if s != "" && !bearer.MatchString(s) {
		return errors.New("it must be of letters, digits and -._~+/ with = at the end only")
	}
	*v.to = s
	return nil
}

var bearer = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)
