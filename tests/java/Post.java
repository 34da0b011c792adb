import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;

/** Posts a file with the JDK's own client, which offers h2c with it, and prints the status and the answer. */
public class Post {
  public static void main(String[] arguments) throws Exception {
    HttpRequest.Builder request =
        HttpRequest.newBuilder(URI.create(arguments[0])).POST(HttpRequest.BodyPublishers.ofFile(Path.of(arguments[1])));
    for (int index = 2; index < arguments.length; index += 2) {
      request.header(arguments[index], arguments[index + 1]);
    }
    HttpResponse<String> answer = HttpClient.newHttpClient().send(request.build(), HttpResponse.BodyHandlers.ofString());
    System.out.println(answer.statusCode());
    System.out.println(answer.body());
  }
}
