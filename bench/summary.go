package bench

// Summary is what the text report of a job says first that is not about messages, in
// place of the figures of messages.
type Summary struct {
	Lines   []string `json:"lines"`
	Latency string   `json:"latency"` // what Result.Latency is the time of
	Lag     string   `json:"lag"`     // and Result.Lag
}
