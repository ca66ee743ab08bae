// Just enough of HTTP/1.1 to know where an answer ends and what its status is.
#pragma once

#include <strings.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

constexpr size_t kSample = 1 << 16;  // so much of a body is kept
constexpr size_t kLineLimit = 1 << 16;

// One response as it arrives: Content-Length, chunked or ended by the connection's end. The beginning of its body is kept.
class Response {
 public:
  enum class State { kHead, kBody, kChunkSize, kChunkEnd, kTrailer, kDone, kMalformed };

  void feed(const char* data, size_t size) {
    const char* end = data + size;
    begun |= size > 0;
    while (data < end && state != State::kDone && state != State::kMalformed) {
      if (state == State::kBody) {
        const size_t take = std::min<uint64_t>(end - data, left_);
        body.append(data, std::min(take, kSample - body.size()));
        size_ += take;
        data += take;
        if (until_end_) continue;
        left_ -= take;
        if (!left_) state = chunked_ ? State::kChunkEnd : State::kDone;
      } else if (const char* newline = static_cast<const char*>(memchr(data, '\n', end - data))) {
        line_.append(data, newline - data);
        data = newline + 1;
        if (!line_.empty() && line_.back() == '\r') line_.pop_back();
        line(line_);
        line_.clear();
      } else {
        line_.append(data, end - data);
        data = end;
        if (line_.size() > kLineLimit) state = State::kMalformed;
      }
    }
    if (data < end) state = State::kMalformed;  // more than was asked for
  }
  // The peer closed: whether that is how this response ends.
  bool ended() const { return state == State::kBody && until_end_; }
  size_t size() const { return size_; }

  State state = State::kHead;
  int status = 0;
  bool begun = false, close = false;
  std::string body;

 private:
  void line(const std::string& text) {
    switch (state) {
      case State::kHead:
        if (!status) {
          status = text.compare(0, 7, "HTTP/1.") ? 0 : atoi(text.c_str() + std::min<size_t>(9, text.size()));
          if (status < 100) state = State::kMalformed;
          close = text.compare(0, 8, "HTTP/1.0") == 0;
        } else if (!text.empty()) {
          header(text);
        } else if (status < 200) {
          *this = Response();
        } else if (status == 204 || status == 304) {
          state = State::kDone;
        } else if (chunked_) {
          state = State::kChunkSize;
        } else {
          until_end_ = !sized_;
          left_ = sized_ ? left_ : UINT64_MAX;
          state = left_ ? State::kBody : State::kDone;
        }
        break;
      case State::kChunkSize: {
        char* end;
        left_ = strtoull(text.c_str(), &end, 16);
        state = end == text.c_str() ? State::kMalformed : left_ ? State::kBody : State::kTrailer;
        break;
      }
      case State::kChunkEnd:
        state = text.empty() ? State::kChunkSize : State::kMalformed;
        break;
      default:
        if (text.empty()) state = State::kDone;  // the trailer's last line
    }
  }
  void header(const std::string& text) {
    const size_t colon = text.find(':');
    if (colon == std::string::npos) return;
    const std::string name = text.substr(0, colon);
    const char* value = text.c_str() + colon + 1;
    while (*value == ' ') value++;
    if (!strcasecmp(name.c_str(), "content-length")) {
      left_ = strtoull(value, nullptr, 10);
      sized_ = true;
    } else if (!strcasecmp(name.c_str(), "transfer-encoding")) {
      chunked_ = strcasestr(value, "chunked") != nullptr;
    } else if (!strcasecmp(name.c_str(), "connection")) {
      close = strcasestr(value, "close") != nullptr;
    }
  }
  std::string line_;
  uint64_t left_ = 0;
  size_t size_ = 0;
  bool sized_ = false, chunked_ = false, until_end_ = false;
};
