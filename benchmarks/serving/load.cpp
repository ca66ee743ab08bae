// The load generator: one fixed HTTP/1.1 request over keep-alive connections, in a closed loop or at a fixed rate.
//
//   load HOST PORT CONNECTIONS SECONDS RATE EVEN TIMEOUT SEED EXPECTED WARM   < request   > figures as JSON
//
// RATE 0 is the closed loop: every connection sends again as soon as it is answered. Otherwise requests are due at that rate, by a
// Poisson process or evenly, whether or not earlier ones were answered; latency counts from the moment a request was due, so a
// server that stalls is charged for what it kept waiting (Tene's "coordinated omission"). A request that finds no free connection
// waits for one. EXPECTED is hexadecimal: an answer whose body does not begin so is an error. For WARM seconds before SECONDS begin the
// load is the same and nothing is counted but what is still under way when they begin. SIGINT and SIGTERM end the run early.
// Every request sent ends as exactly one answer (by status) or one error (by kind). load.py is its face.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <deque>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "load_histogram.hpp"
#include "load_response.hpp"

namespace {

using Nanos = int64_t;
constexpr Nanos kSecond = 1'000'000'000;
constexpr Nanos kSweep = kSecond / 20;   // how often time-outs are looked for
constexpr Nanos kRetry = kSecond / 100;  // after a refused connection

volatile sig_atomic_t stopped = 0;

Nanos now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * kSecond + t.tv_nsec;
}

struct Answers {
  Histogram latency;
  size_t smallest = SIZE_MAX, largest = 0;
  std::string first;
};

struct Connection {
  int fd = -1;
  bool busy = false;
  bool connecting = false;
  Nanos due = 0;  // of the request under way, or of the next try
  Nanos deadline = 0;
  size_t written = 0;
  Response response;
};

class Load {
 public:
  Load(char** words, std::string request) : request_(std::move(request)), random_(atoll(words[8])) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    if (getaddrinfo(words[1], words[2], &hints, &address_)) fail("no such address");
    connections_.resize(atoi(words[3]));
    seconds_ = atof(words[4]);
    rate_ = atof(words[5]);
    even_ = atoi(words[6]);
    timeout_ = atof(words[7]) * kSecond;
    for (const char* c = words[9]; c[0] && c[1]; c += 2) expected_ += char(strtol(std::string(c, 2).c_str(), nullptr, 16));
    epoll_ = epoll_create1(0);
    timer_ = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    warm_ = Nanos(atof(words[10]) * kSecond);
    watch(timer_, nullptr);
  }

  void run() {
    for (auto& connection : connections_) {
      if (!connect(connection, true)) break;  // the rest will be tried when they have something to send
    }
    start_ = now();
    end_ = start_ + warm_ + Nanos(seconds_ * kSecond);
    next_ = rate_ ? start_ + gap() : INT64_MAX;
    for (auto& connection : connections_) free_.push_back(&connection);
    std::vector<epoll_event> events(256);
    for (Nanos time = start_; !finished(time); time = now()) {
      if (warm_ && time >= start_ + warm_) forget(time);
      sweep(time);
      dispatch(time);
      wake_at(time);
      const int count = epoll_wait(epoll_, events.data(), events.size(), -1);
      for (int i = 0; i < count; i++) {
        if (events[i].data.ptr) {
          ready(*static_cast<Connection*>(events[i].data.ptr), events[i].events & EPOLLRDHUP);
        } else {
          uint64_t ticks;
          armed_ = read(timer_, &ticks, sizeof ticks) > 0 ? 0 : armed_;
        }
      }
    }
  }

  void print() const {
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    const double cpu = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    printf("{\"seconds\":%.6f,\"sent\":%" PRIu64 ",\"unsent\":%zu,\"good\":%" PRIu64 ",\"opened\":%" PRIu64 ",\"cpu_seconds\":%.4f,",
           double(end_ - start_) / kSecond, sent_, waiting_.size(), good_, opened_, cpu);
    printf("\"errors\":{");
    const char* comma = "";
    for (const auto& [kind, count] : errors_) printf("%s\"%s\":%" PRIu64, comma, kind.c_str(), count), comma = ",";
    printf("},\"answers\":{");
    comma = "";
    for (const auto& [status, answers] : answers_) {
      const Histogram& h = answers.latency;
      printf("%s\"%d\":{\"count\":%" PRIu64 ",\"mean_ms\":%.6f,\"max_ms\":%.6f,", comma, status, h.total(), h.mean() / 1e6, h.max() / 1e6);
      printf("\"p50_ms\":%.6f,\"p90_ms\":%.6f,\"p99_ms\":%.6f,\"p999_ms\":%.6f,", h.quantile(.5) / 1e6, h.quantile(.9) / 1e6,
             h.quantile(.99) / 1e6, h.quantile(.999) / 1e6);
      printf("\"smallest\":%zu,\"largest\":%zu,\"first\":\"", answers.smallest, answers.largest);
      for (unsigned char c : answers.first) printf("%02x", c);
      printf("\"}");
      comma = ",";
    }
    printf("}}\n");
  }

  [[noreturn]] static void fail(const char* why) {
    fprintf(stderr, "load: %s\n", why);
    exit(2);
  }

 private:
  double gap() { return kSecond / rate_ * (even_ ? 1.0 : std::exponential_distribution<>(1.0)(random_)); }

  void watch(int fd, void* with) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.ptr = with;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  }

  // The first connections are made, and completed, before the clock starts.
  bool connect(Connection& connection, bool wait) {
    opened_++;
    connection.fd = socket(address_->ai_family, SOCK_STREAM | (wait ? 0 : SOCK_NONBLOCK), 0);
    if (connection.fd < 0) fail(strerror(errno));
    const int yes = 1;
    setsockopt(connection.fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    const timeval patience{2, 0};
    if (wait) setsockopt(connection.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (::connect(connection.fd, address_->ai_addr, address_->ai_addrlen) && errno != EINPROGRESS) {
      ::close(connection.fd);
      connection.fd = -1;
      return false;
    }
    connection.connecting = !wait;
    if (wait) fcntl(connection.fd, F_SETFL, O_NONBLOCK);
    watch(connection.fd, &connection);
    return true;
  }

  // The warm time is over.
  void forget(Nanos time) {
    warm_ = 0;
    start_ = time;
    answers_.clear();
    errors_.clear();
    sent_ = in_flight_;
    good_ = 0;
  }

  // Requests that are due get a connection; a closed loop's are due as soon as one is free.
  void dispatch(Nanos time) {
    for (; !retrying_.empty() && retrying_.front()->due <= time; retrying_.pop_front()) free_.push_back(retrying_.front());
    for (; next_ <= time && next_ < end_; next_ += std::max<Nanos>(1, gap())) waiting_.push_back(next_);
    while (time < end_ && !free_.empty() && !(rate_ && waiting_.empty())) {
      Connection& connection = *free_.front();
      free_.pop_front();
      issue(connection, rate_ ? waiting_.front() : now());
      if (rate_) waiting_.pop_front();
    }
  }

  void issue(Connection& connection, Nanos due) {
    sent_++;
    in_flight_++;
    connection.busy = true;
    connection.due = due;
    connection.deadline = now() + timeout_;
    connection.written = 0;
    connection.response = Response();
    if (connection.fd < 0 && !connect(connection, false)) return lose(connection, "connect");
    if (!connection.connecting) write(connection);
  }

  void write(Connection& connection) {
    while (connection.written < request_.size()) {
      const ssize_t sent = send(connection.fd, request_.data() + connection.written, request_.size() - connection.written, MSG_NOSIGNAL);
      if (sent < 0) return;  // not now; or the peer has gone, which the next read will tell with what it still said
      connection.written += sent;
    }
  }

  void ready(Connection& connection, bool hung_up) {
    if (connection.fd < 0) return;
    if (connection.connecting) {
      int problem = 0;
      socklen_t size = sizeof problem;
      getsockopt(connection.fd, SOL_SOCKET, SO_ERROR, &problem, &size);
      if (problem) return lose(connection, "connect");
      connection.connecting = false;
    }
    if (connection.busy) write(connection);
    static std::vector<char> buffer(1 << 18);
    for (;;) {
      const ssize_t got = recv(connection.fd, buffer.data(), buffer.size(), 0);
      if (got < 0 && errno == EAGAIN) return;
      if (got <= 0) return gone(connection, got < 0);
      if (!connection.busy) return close(connection);  // said without being asked
      connection.response.feed(buffer.data(), got);
      if (connection.response.state == Response::State::kMalformed) return lose(connection, "malformed");
      if (connection.response.state == Response::State::kDone) {
        connection.response.close |= hung_up || connection.written < request_.size();
        return answered(connection);
      }
      if (size_t(got) < buffer.size() && !hung_up) return;
    }
  }

  // The peer closed or reset the connection.
  void gone(Connection& connection, bool reset) {
    if (!connection.busy) return close(connection);
    if (!reset && connection.response.ended()) {
      connection.response.close = true;
      return answered(connection);
    }
    lose(connection, connection.response.begun ? "cut" : reset ? "reset" : "closed");
  }

  void answered(Connection& connection) {
    const Nanos time = now();
    const Response& response = connection.response;
    if (response.body.compare(0, expected_.size(), expected_)) return lose(connection, "mismatch");
    Answers& answers = answers_[response.status];
    if (!answers.latency.total()) answers.first = response.body;
    answers.latency.add(std::max<Nanos>(0, time - connection.due));
    answers.smallest = std::min(answers.smallest, response.size());
    answers.largest = std::max(answers.largest, response.size());
    if (response.status / 100 == 2 && time <= end_) good_++;
    if (response.close) close(connection);
    release(connection);
  }

  void lose(Connection& connection, const char* kind) {
    errors_[kind]++;
    close(connection);
    if (rate_ || kind != std::string("connect")) return release(connection);
    connection.busy = false;
    in_flight_--;
    connection.due = now() + kRetry;
    retrying_.push_back(&connection);
  }

  void close(Connection& connection) {
    if (connection.fd >= 0) ::close(connection.fd);
    connection.fd = -1;
    connection.connecting = false;
  }

  void release(Connection& connection) {
    connection.busy = false;
    in_flight_--;
    free_.push_back(&connection);
  }

  // Requests that waited too long are lost.
  void sweep(Nanos time) {
    if (time < swept_ + kSweep) return;
    swept_ = time;
    for (auto& connection : connections_) {
      if (connection.busy && connection.deadline <= time) lose(connection, "timeout");
    }
  }

  bool finished(Nanos time) {
    if (stopped) end_ = std::min(end_, time);
    return time >= end_ && !in_flight_;
  }

  void wake_at(Nanos time) {
    Nanos target = swept_ + kSweep;
    if (time < end_) target = std::min({target, end_, next_});
    if (!retrying_.empty()) target = std::min(target, retrying_.front()->due);
    if (target == armed_) return;
    armed_ = target;
    itimerspec when{};
    when.it_value = {target / kSecond, target % kSecond};
    timerfd_settime(timer_, TFD_TIMER_ABSTIME, &when, nullptr);
  }

  const std::string request_;
  std::string expected_;
  double seconds_, rate_;
  bool even_;
  Nanos timeout_, warm_;
  std::mt19937_64 random_;
  addrinfo* address_ = nullptr;
  int epoll_, timer_;

  std::vector<Connection> connections_;
  std::deque<Connection*> free_, retrying_;
  std::deque<Nanos> waiting_;  // requests that are due and have no connection yet
  std::map<int, Answers> answers_;
  std::map<std::string, uint64_t> errors_;
  uint64_t sent_ = 0, good_ = 0, opened_ = 0;
  size_t in_flight_ = 0;
  Nanos start_ = 0, end_ = 0, next_ = 0, swept_ = 0, armed_ = 0;
};

}  // namespace

int main(int count, char** words) {
  if (count != 11) Load::fail("HOST PORT CONNECTIONS SECONDS RATE EVEN TIMEOUT SEED EXPECTED WARM < request");
  std::string request;
  char buffer[1 << 16];
  for (size_t got; (got = fread(buffer, 1, sizeof buffer, stdin)) > 0;) request.append(buffer, got);
  struct sigaction stop{};
  stop.sa_handler = [](int) { stopped = 1; };
  sigaction(SIGINT, &stop, nullptr);
  sigaction(SIGTERM, &stop, nullptr);
  Load load(words, request);
  load.run();
  load.print();
}
