// A client as Everest's C++ library is: one libcurl handle, the cookie that the sign-in set, forms with `sendfile`.
// Does the whole sequence and prints one line for each step; exits with 1 and the server's words where one fails.
//
//   everest_client URL USER PASSWORD APP RESOURCE FILE NAME
#include <curl/curl.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>

using std::string;

static size_t collect(char *bytes, size_t size, size_t n, void *text) {
    static_cast<string *>(text)->append(bytes, size * n);
    return size * n;
}

// The text or literal that follows "key": in JSON; as much of a parser as such clients need.
static string value_of(const string &json, const string &key) {
    size_t at = json.find('"' + key + '"');
    if (at == string::npos) return "";
    at = json.find_first_not_of(" :", at + key.size() + 2);
    if (json[at] != '"') return json.substr(at, json.find_first_of(",}]", at) - at);
    string found;
    for (++at; at < json.size() && json[at] != '"'; ++at) {
        if (json[at] == '\\') ++at;
        found += json[at];
    }
    return found;
}

static string quoted(const string &text) {
    string out = "\"";
    for (char c : text) out += (c == '"' || c == '\\') ? string("\\") + c : string(1, c);
    return out + '"';
}

class Everest {
public:
    long code = 0;
    string response;

    explicit Everest(const string &url) : url_(url), curl_(curl_easy_init()) {
        json_ = curl_slist_append(json_, "Accept: application/json");
        json_ = curl_slist_append(json_, "Content-Type: application/json");
        form_ = curl_slist_append(form_, "Content-Type: multipart/form-data");
        curl_easy_setopt(curl_, CURLOPT_COOKIEFILE, "");  // cookies are kept, and that is all the library does for its token
        curl_easy_setopt(curl_, CURLOPT_WRITEFUNCTION, collect);
        curl_easy_setopt(curl_, CURLOPT_WRITEDATA, &response);
        curl_easy_setopt(curl_, CURLOPT_NOPROXY, "*");
    }
    ~Everest() {
        curl_slist_free_all(json_);
        curl_slist_free_all(form_);
        curl_easy_cleanup(curl_);
    }

    string get(const string &path) {
        curl_easy_setopt(curl_, CURLOPT_HTTPGET, 1L);
        return call(path, nullptr);
    }
    string post(const string &path, const string &body) {
        body_ = body;
        curl_easy_setopt(curl_, CURLOPT_POST, 1L);
        curl_easy_setopt(curl_, CURLOPT_POSTFIELDS, body_.c_str());
        curl_easy_setopt(curl_, CURLOPT_POSTFIELDSIZE, static_cast<long>(body_.size()));
        return call(path, nullptr);
    }
    // The verb is changed, and no more: after a POST its body goes along.
    string remove(const string &path) { return call(path, "DELETE"); }

    string upload(const string &file) {
        string name = file.substr(file.rfind('/') + 1);
        curl_mime *form = curl_mime_init(curl_);
        curl_mimepart *part = curl_mime_addpart(form);
        curl_mime_name(part, "sendfile");
        curl_mime_filedata(part, file.c_str());
        part = curl_mime_addpart(form);
        curl_mime_name(part, "filename");
        curl_mime_data(part, name.c_str(), CURL_ZERO_TERMINATED);
        part = curl_mime_addpart(form);
        curl_mime_name(part, "submit");
        curl_mime_data(part, "send", CURL_ZERO_TERMINATED);
        curl_easy_setopt(curl_, CURLOPT_MIMEPOST, form);
        string answer = call("/api/files/temp", nullptr, form_);
        curl_easy_setopt(curl_, CURLOPT_HTTPGET, 1L);
        curl_mime_free(form);
        return answer;
    }
    string escaped(const string &text) {
        char *raw = curl_easy_escape(curl_, text.c_str(), static_cast<int>(text.size()));
        string found = raw;
        curl_free(raw);
        return found;
    }
    string expect(const char *step, long wanted, const string &answer) {
        if (code != wanted) {
            std::cerr << step << ": " << code << " instead of " << wanted << ": " << answer << std::endl;
            std::exit(1);
        }
        std::cout << step << std::endl;
        return answer;
    }
    string await_end(const string &job) {
        for (int tries = 0; tries < 600; ++tries) {
            string answer = get("/api/jobs/" + job), state = value_of(answer, "state");
            if (code != 200 || state == "DONE" || state == "FAILED" || state == "CANCELLED") return answer;
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
        }
        return "it did not end";
    }

private:
    string call(const string &path, const char *verb, curl_slist *headers = nullptr) {
        curl_easy_setopt(curl_, CURLOPT_URL, (url_ + path).c_str());
        curl_easy_setopt(curl_, CURLOPT_CUSTOMREQUEST, verb);
        curl_easy_setopt(curl_, CURLOPT_HTTPHEADER, headers ? headers : json_);
        response.clear();
        code = 0;
        CURLcode result = curl_easy_perform(curl_);
        if (result != CURLE_OK) response = curl_easy_strerror(result);
        curl_easy_getinfo(curl_, CURLINFO_RESPONSE_CODE, &code);
        return response;
    }

    string url_, body_;
    CURL *curl_;
    curl_slist *json_ = nullptr, *form_ = nullptr;
};

int main(int argc, char **argv) {
    if (argc != 8) return 2;
    string user = argv[2], password = argv[3], app = argv[4], resource = argv[5], file = argv[6], name = argv[7];
    curl_global_init(CURL_GLOBAL_ALL);
    Everest everest(argv[1]);

    string credentials = "{\"username\":" + quoted(user) + ",\"password\":" + quoted(password) + ",\"label\":\"templet\"}";
    string token = value_of(everest.expect("sign in", 200, everest.post("/auth/access_token", credentials)), "access_token");
    std::cout << "token " << token.size() << std::endl;

    string part = app.substr(app.find('/') + 1);
    string found = everest.expect("search", 200, everest.get("/api/apps/search?name=" + everest.escaped(part)));
    string id = value_of(found, "id");
    everest.expect("describe", 200, everest.get("/api/apps/" + id));
    std::cout << "alias " << value_of(everest.response, "alias") << std::endl;

    string uri = value_of(everest.expect("upload", 200, everest.upload(file)), "uri");
    string body = "{\"name\":" + quoted(name) + ",\"resources\":[" + quoted(resource) + "],\"inputs\":{\"files\":[" + quoted(uri) +
                  "],\"n\":21}}";
    string job = value_of(everest.expect("submit", 201, everest.post("/api/apps/" + id, body)), "id");
    string ended = everest.expect("poll", 200, everest.await_end(job));
    std::cout << "state " << value_of(ended, "state") << "\ntwice " << value_of(ended, "twice") << std::endl;
    std::cout << "app " << value_of(ended, "appName") << std::endl;
    string archive = everest.expect("result", 200, everest.get(value_of(ended, "results")));
    std::cout << "bytes " << archive.substr(0, 2) << std::endl;
    string again = everest.expect("input", 200, everest.get("/api/files/jobs/" + job + uri.substr(uri.rfind('/'))));
    std::cout << "input " << again << std::endl;
    string log = everest.expect("log", 200, everest.get("/api/jobs/" + job + "/log"));
    std::cout << "on resource " << (log.find('[' + resource + "/") != string::npos) << std::endl;

    string refused = everest.post("/api/apps/" + id, "{\"inputs\":{\"files\":[],\"n\":\"many\"}}");
    everest.expect("bad input", 422, refused);
    std::cout << "says " << value_of(refused, "detail") << std::endl;

    body = "{\"name\":" + quoted(name) + ",\"inputs\":{\"files\":[" + quoted(uri) + "],\"n\":1,\"wait\":600}}";
    string slow = value_of(everest.expect("submit a long one", 201, everest.post("/api/apps/" + id, body)), "id");
    everest.expect("cancel", 200, everest.post("/api/jobs/" + slow + "/cancel", ""));
    std::cout << "state " << value_of(everest.await_end(slow), "state") << std::endl;
    string deleted = everest.expect("delete by name", 200, everest.remove("/api/jobs?name=" + everest.escaped(name)));
    std::cout << "deleted " << value_of(deleted, "deleted") << std::endl;
    everest.get("/api/jobs/" + job);
    everest.expect("the job is gone", 404, everest.response);
    everest.expect("delete the file", 200, everest.remove(uri));
    everest.post("/api/jobs/none/cancel", "{}");
    everest.expect("sign out", 200, everest.remove("/api/auth/access_token"));
    everest.get("/api/jobs");
    everest.expect("signed out", 401, everest.response);
    curl_global_cleanup();
    return 0;
}
