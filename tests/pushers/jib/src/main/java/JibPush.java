import com.google.cloud.tools.jib.api.Containerizer;
import com.google.cloud.tools.jib.api.Jib;
import com.google.cloud.tools.jib.api.RegistryImage;
import com.google.cloud.tools.jib.api.TarImage;
import com.google.cloud.tools.jib.api.buildplan.AbsoluteUnixPath;
import java.nio.file.Path;
import java.util.List;

/**
 * Pushes one file as an image: `JibPush FILE REFERENCE CACHE`. PUSH_USER and PUSH_SECRET log in. With `pull` in place of
 * the file it pulls an image, and makes an archive of it.
 */
public final class JibPush {
  public static void main(String[] arguments) throws Exception {
    Path cache = Path.of(arguments[2]);
    RegistryImage image = RegistryImage.named(arguments[1]);
    if (System.getenv("PUSH_USER") != null) {
      image.addCredential(System.getenv("PUSH_USER"), System.getenv("PUSH_SECRET"));
    }
    if (arguments[0].equals("pull")) {
      Jib.from(image)
          .containerize(
              Containerizer.to(TarImage.at(cache.resolve("pulled.tar")).named("pulled"))
                  .setAllowInsecureRegistries(true)
                  .setBaseImageLayersCache(cache)
                  .setApplicationLayersCache(cache));
      return;
    }
    Jib.fromScratch()
        .addLayer(List.of(Path.of(arguments[0])), AbsoluteUnixPath.get("/"))
        .containerize(
            Containerizer.to(image)
                .setAllowInsecureRegistries(true)
                .setBaseImageLayersCache(cache)
                .setApplicationLayersCache(cache));
  }
}
