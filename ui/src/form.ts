/** The form that runs an application: checked as one types, files uploaded as they are chosen. A page is whole without it. */

import "./form_check";
import "./upload";
