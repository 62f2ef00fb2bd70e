// Browsers run no workers from files. So that the search works there too, it runs in a hidden frame:
// a Worker with the few calls that the theme makes, `postMessage` and the event `message`.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.head.append(frame);
      const inside = frame.contentWindow;
      this.ready = new Promise((loaded) => {
        inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
        const script = inside.document.createElement("script");
        script.src = url;
        script.onload = () => loaded(inside);
        inside.document.head.append(script);
      });
    }

    postMessage(data) {
      this.ready.then((inside) => inside.dispatchEvent(new MessageEvent("message", { data })));
    }
  };
}
