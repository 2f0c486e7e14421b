package bench

// Compared is
type Compared struct{}
